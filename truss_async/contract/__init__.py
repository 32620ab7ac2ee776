"""What travels on the wire. Names are loaded when they are first used: a cold start counts."""

from typing import TYPE_CHECKING

from ..lazy_names import lazily

if TYPE_CHECKING:
    from .requests import AsyncPredictRequest as AsyncPredictRequest
    from .requests import InferenceRetryConfig as InferenceRetryConfig
    from .results import ArtifactReference as ArtifactReference
    from .results import AsyncPredictResult as AsyncPredictResult
    from .results import ErrorCode as ErrorCode
    from .results import ErrorDetail as ErrorDetail
    from .statuses import AsyncPredictAccepted as AsyncPredictAccepted
    from .statuses import AsyncRequestStatus as AsyncRequestStatus
    from .statuses import CancelAnswer as CancelAnswer
    from .statuses import RequestStatus as RequestStatus
    from .statuses import WebhookStatus as WebhookStatus

_HOMES = {
    "ArtifactReference": "results",
    "AsyncPredictAccepted": "statuses",
    "AsyncPredictRequest": "requests",
    "AsyncPredictResult": "results",
    "AsyncRequestStatus": "statuses",
    "CancelAnswer": "statuses",
    "ErrorCode": "results",
    "ErrorDetail": "results",
    "InferenceRetryConfig": "requests",
    "RequestStatus": "statuses",
    "WebhookStatus": "statuses",
}

__all__ = [
    "ArtifactReference",
    "AsyncPredictAccepted",
    "AsyncPredictRequest",
    "AsyncPredictResult",
    "AsyncRequestStatus",
    "CancelAnswer",
    "ErrorCode",
    "ErrorDetail",
    "InferenceRetryConfig",
    "RequestStatus",
    "WebhookStatus",
]

__getattr__ = lazily(__name__, _HOMES)
