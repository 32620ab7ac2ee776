"""What became of each page, and whether that is what should have: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..contract import RequestStatus, WebhookStatus
from ..webhooks.receiver import VALID

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult, AsyncRequestStatus
    from ..webhooks.receiver import Delivery


@dataclass(frozen=True)
class Submission:
    """One page on its way: an async request that was accepted."""

    page: str
    request_id: str
    priority: int


@dataclass(frozen=True)
class StoredOutput:
    """What was found in the output store. ``problem`` says why it was not, or what is wrong with it."""

    key: str
    result: AsyncPredictResult | None = None
    annotated: bytes | None = None
    problem: str | None = None


@dataclass(frozen=True)
class PageOutcome:
    """Everything known about one page once its request is over."""

    submission: Submission
    status: AsyncRequestStatus
    queue_seconds: float | None
    inference_seconds: float | None
    delivery: Delivery | None
    stored: StoredOutput
    problems: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "problems", tuple(self._find_problems()))

    @property
    def signature(self) -> str:
        return "none" if self.delivery is None else self.delivery.verdict

    @property
    def line_count(self) -> int:
        data = None if self.stored.result is None else self.stored.result.data
        lines = data.get("lines") if isinstance(data, dict) else None
        return len(lines) if isinstance(lines, list) else 0

    def _find_problems(self) -> list[str]:
        if self.status.status is not RequestStatus.SUCCEEDED:
            reasons = "; ".join(f"{error.code}: {error.message}" for error in self.status.errors)
            return [f"{self.status.status.value} ({reasons or 'no reason given'})"]
        problems = []
        if self.status.webhook_status is not WebhookStatus.SUCCEEDED:
            problems.append(f"its webhook is {self.status.webhook_status.value}")
        if self.signature != VALID:
            problems.append(f"the signature of its webhook is not valid: {self.signature}")
        if self.stored.problem is not None:
            problems.append(self.stored.problem)
        elif not self.line_count:
            problems.append("no line was read on it")
        sent = None if self.delivery is None else self.delivery.result
        if sent is not None and self.stored.result is not None and sent.data != self.stored.result.data:
            problems.append("its webhook and its stored object differ")
        return problems
