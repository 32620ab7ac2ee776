"""What the harness's own calls carry, under ``/_harness/``: nothing of it exists on the platform."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from .statuses import AsyncRequestStatus


class DeliveryAttemptRecord(BaseModel):
    """One POST of a result to its webhook endpoint; ``status_code`` is None when no answer came."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request_id: str
    attempt: int
    webhook_endpoint: str
    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None


class DeliveryAttempts(BaseModel):
    """Those of one request in their order, or the latest ones of all requests, newest first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    deliveries: list[DeliveryAttemptRecord]


class RequestStatusWithDeliveries(AsyncRequestStatus):
    """Where a request stands, and every POST of its result."""

    deliveries: list[DeliveryAttemptRecord]


class WebhookSecretInfo(BaseModel):
    """An active webhook secret, masked. ``ends_at`` is None until it was rotated."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    masked: str
    created_at: datetime
    ends_at: datetime | None
    is_persisted: bool


class WebhookSecretList(BaseModel):
    """Every active webhook secret, newest first."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    secrets: list[WebhookSecretInfo]


class NewWebhookSecret(BaseModel):
    """A webhook secret in full: shown this once. ``replaces`` is the one that was rotated."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    secret: str
    created_at: datetime
    replaces: WebhookSecretInfo | None = None


class RemovedWebhookSecret(BaseModel):
    """The webhook secret that signs nothing any more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str


class ClockAdvance(BaseModel):
    """How far the virtual clock moves, and how long an answer from outside is awaited meanwhile, in real time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    advance_seconds: float = Field(ge=0, le=366 * 86_400)
    patience_seconds: float = Field(default=1.0, ge=0, le=60)


class ClockReading(BaseModel):
    """What the harness's clock shows."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    now: datetime
