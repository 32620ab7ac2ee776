"""Faults that a harness is told to make: nothing of it exists on the platform."""

from datetime import datetime
from enum import Enum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self


class FaultKind(str, Enum):
    """The kind of fault."""

    WEBHOOK_DROPPED = "webhook_dropped"
    WEBHOOK_DOUBLED = "webhook_doubled"
    WEBHOOK_DELAYED = "webhook_delayed"
    WEBHOOK_REORDERED = "webhook_reordered"
    WEBHOOK_WRONG_SIGNATURE = "webhook_wrong_signature"
    WEBHOOK_OLD_TIMESTAMP = "webhook_old_timestamp"
    WEBHOOK_ANSWERED_SLOWLY = "webhook_answered_slowly"
    MODEL_500 = "model_500"
    MODEL_503 = "model_503"
    MODEL_504 = "model_504"
    MODEL_429 = "model_429"
    MODEL_CRASH = "model_crash"
    MODEL_HANG = "model_hang"
    STORE_UNREACHABLE = "store_unreachable"
    STORE_FORBIDDEN = "store_forbidden"
    SYNC_FULL = "sync_full"
    CAPACITY_EXCEEDED = "capacity_exceeded"
    PAYMENT_REQUIRED = "payment_required"
    FORBIDDEN = "forbidden"
    DEVELOPMENT_SCALED_TO_ZERO = "development_scaled_to_zero"
    NOT_SET_UP = "not_set_up"

    @property
    def is_of_webhook(self) -> bool:
        """Whether it strikes delivery attempts, and not inference attempts."""
        return self.value.startswith("webhook_")

    @property
    def is_of_store(self) -> bool:
        return self.value.startswith("store_")

    @property
    def is_of_call(self) -> bool:
        """Whether it refuses calls, before a request is accepted or a model is asked."""
        return not self.value.startswith(("webhook_", "model_", "store_"))


DEFAULT_SECONDS: Final = {
    FaultKind.WEBHOOK_DELAYED: 5.0,
    FaultKind.WEBHOOK_REORDERED: 10.0,
    FaultKind.WEBHOOK_OLD_TIMESTAMP: 600.0,
    FaultKind.MODEL_CRASH: 0.05,
}
"""The kinds that have a length."""


class FaultRule(BaseModel):
    """A kind of fault, and which attempts it strikes: all that fit, or a share of them that is drawn from ``seed``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: FaultKind = Field(description="The kind of fault.")
    request_id: str | None = Field(
        default=None, min_length=1, description="Inject the fault only into this request."
    )
    deployment_id: str | None = Field(
        default=None, min_length=1, description="Inject the fault only into requests of this deployment."
    )
    nth: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        description="Inject the fault only into the async request with this number, counted from 1 in order of acceptance.",
    )
    attempt: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        description="Inject the fault only into this attempt, of inference or of delivery.",
    )
    times: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        description="Number of times to inject the fault. By default, until the rule is removed.",
    )
    rate: float | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=1,
        description="Share of matching events to inject the fault into. By default, all.",
    )
    seed: int = Field(
        default=0, strict=True, description="Random seed for the share. The same seed gives the same draws."
    )
    seconds: float | None = Field(
        default=None,
        strict=True,
        gt=0,
        le=259_200,
        description="How long a webhook is delayed, or is held at most to be reordered; how much too old its time is; how "
        "long after the call the model crashes.",
    )

    @property
    def length_seconds(self) -> float:
        """``seconds``, or what the kind has for it; 0 for a kind without a length."""
        return DEFAULT_SECONDS.get(self.kind, 0.0) if self.seconds is None else self.seconds

    @model_validator(mode="after")
    def _is_sensible(self) -> Self:
        if self.seconds is not None and self.kind not in DEFAULT_SECONDS:
            kinds = ", ".join(kind.value for kind in DEFAULT_SECONDS)
            raise ValueError(f"seconds: {self.kind.value} has no length; it is for {kinds}")
        if self.kind.is_of_call and (self.request_id is not None or self.nth is not None):
            raise ValueError(
                f"request_id, nth: {self.kind.value} refuses calls before they become requests; give times or rate"
            )
        return self


class SetFault(FaultRule):
    """A rule that is set, by its number, and how often it has struck."""

    model_config = ConfigDict(extra="allow")

    id: int
    struck: int


class SetFaults(BaseModel):
    """Every rule that is set, in the order in which they are asked: the first that fits an attempt strikes it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    faults: list[SetFault]


class Strike(BaseModel):
    """A fault that struck an attempt of a request, of inference or of delivery."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: FaultKind
    fault_id: int
    attempt: int
    struck_at: datetime
