"""What the harness's own calls carry, under ``/_harness/``: nothing of it exists on the platform."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from .faults import Strike
from .statuses import AsyncRequestStatus, Told

ModelState = Literal["starting", "ready", "failed", "scaled_to_zero"]


class DeploymentHealth(Told):
    """How a deployment's model is. ``error`` is why a replica last failed, None once all is well again."""

    model: ModelState
    replicas_ready: int = Field(ge=0)
    error: str | None


class QueueHealth(Told):
    """How the request queue is. ``error`` keeps it from working until somebody sees to it; None: it works.

    The rest is what the disk has damaged. Counted since the start: the requests that failed of it, or whose result could
    not be sent, by what of them was damaged, and the pages of the write-ahead log that were lost. ``kept_aside`` are the
    damaged files in the state folder, by name, until somebody removes them.
    """

    error: str | None
    damaged_requests: dict[str, int]
    lost_log_pages: int = Field(ge=0)
    kept_aside: list[str]


class Health(Told):
    """That the harness answers, how the worst of its models is, how its queue is, and how each of its deployments is, by its id."""

    status: Literal["ok"] = "ok"
    model: ModelState
    replicas_ready: int = Field(ge=0)
    error: str | None
    queue: QueueHealth
    deployments: dict[str, DeploymentHealth]


class DeliveryOutcome(Told):
    """How one POST of a result went; ``status_code`` is None when no answer came."""

    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None


class RequestRecord(AsyncRequestStatus):
    """Where a request stands, its times, its attempts, and the faults that struck it."""

    priority: int
    inference_attempts: int
    started_at: datetime | None
    finished_at: datetime | None
    deliveries: list[DeliveryOutcome]
    faults: list[Strike]


class DeliveryAttemptRecord(Told):
    """One POST of a result to its webhook endpoint; ``status_code`` is None when no answer came."""

    request_id: str
    attempt: int
    webhook_endpoint: str
    sent_at: datetime
    latency_ms: float
    status_code: int | None
    error: str | None


class DeliveryAttempts(Told):
    """Those of one request in their order, or the latest ones of all requests, newest first."""

    deliveries: list[DeliveryAttemptRecord]


class RequestStatusWithDeliveries(AsyncRequestStatus):
    """Where a request stands, and every POST of its result."""

    deliveries: list[DeliveryAttemptRecord]


class WebhookSecretInfo(Told):
    """An active webhook secret, masked. ``ends_at`` is None until it was rotated."""

    id: str
    masked: str
    created_at: datetime
    ends_at: datetime | None
    is_persisted: bool


class WebhookSecretList(Told):
    """Every active webhook secret, newest first."""

    secrets: list[WebhookSecretInfo]


class NewWebhookSecret(Told):
    """A webhook secret in full: shown this once. ``replaces`` is the one that was rotated."""

    id: str
    secret: str
    created_at: datetime
    replaces: WebhookSecretInfo | None = None


class RemovedWebhookSecret(Told):
    """The webhook secret that signs nothing any more."""

    id: str


class ClockAdvance(BaseModel):
    """How far the virtual clock moves, and how long an answer from outside is awaited meanwhile, in real time."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    advance_seconds: float = Field(ge=0, le=366 * 86_400)
    patience_seconds: float = Field(default=1.0, ge=0, le=60)


class ClockReading(Told):
    """What the harness's clock shows."""

    now: datetime
