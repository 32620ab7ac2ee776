"""What travels on the wire."""

from .requests import AsyncPredictRequest, InferenceRetryConfig
from .results import ArtifactReference, AsyncPredictResult, ErrorCode, ErrorDetail
from .statuses import AsyncPredictAccepted, AsyncRequestStatus, CancelAnswer, RequestStatus, WebhookStatus

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
