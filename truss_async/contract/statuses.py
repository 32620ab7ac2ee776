"""Where an async request stands, as the status call tells it."""

from datetime import datetime
from enum import Enum

from pydantic import BaseModel, ConfigDict, Field

from .results import ErrorDetail


class Told(BaseModel):
    """What a server tells. It may tell more than is known here, and that is kept."""

    model_config = ConfigDict(frozen=True, protected_namespaces=(), extra="allow")


class RequestStatus(str, Enum):
    """The life of an async request (platform documentation: async inference, status)."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELED = "CANCELED"
    WEBHOOK_FAILED = "WEBHOOK_FAILED"

    @property
    def is_final(self) -> bool:
        """Whether inference is over; the webhook may still be on its way."""
        return self not in (RequestStatus.QUEUED, RequestStatus.IN_PROGRESS)


class WebhookStatus(str, Enum):
    """How the delivery of the result stands."""

    PENDING = "PENDING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELED = "CANCELED"
    NO_WEBHOOK_PROVIDED = "NO_WEBHOOK_PROVIDED"


class AsyncRequestStatus(Told):
    """The answer of ``GET /async_request/{request_id}``. Times are in UTC."""

    request_id: str
    model_id: str | None = None
    chain_id: str | None = None
    deployment_id: str | None = None
    status: RequestStatus
    webhook_status: WebhookStatus
    created_at: datetime
    status_at: datetime
    errors: list[ErrorDetail] = []


class AsyncPredictAccepted(Told):
    """The answer of ``POST …/async_predict``: 201, and the request id (32 hexadecimal digits)."""

    request_id: str


class CancelAnswer(Told):
    """The answer of ``DELETE /async_request/{request_id}``; ``message`` says why when not cancelled."""

    request_id: str
    canceled: bool
    message: str


class QueueStatus(Told):
    """The answer of ``GET …/async_queue_status``: how many requests wait, and how many are being worked on."""

    model_id: str
    deployment_id: str
    num_queued_requests: int = Field(ge=0)
    num_in_progress_requests: int = Field(ge=0)
