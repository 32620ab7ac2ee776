"""What travels on the wire. Names are loaded when they are first used: a cold start counts."""

from typing import TYPE_CHECKING

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
else:
    from ..lazy_names import lazily

    __getattr__, __dir__, __all__ = lazily(
        __name__,
        {
            "requests": ["AsyncPredictRequest", "InferenceRetryConfig"],
            "results": ["ArtifactReference", "AsyncPredictResult", "ErrorCode", "ErrorDetail"],
            "statuses": [
                "AsyncPredictAccepted",
                "AsyncRequestStatus",
                "CancelAnswer",
                "RequestStatus",
                "WebhookStatus",
            ],
        },
    )
