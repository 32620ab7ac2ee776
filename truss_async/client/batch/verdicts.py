"""What a status or a result means for its line. Decisions alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...contract import AsyncRequestStatus, ErrorCode, RequestStatus, WebhookStatus

if TYPE_CHECKING:
    from ...contract import ErrorDetail

EXPIRED: Final = "EXPIRED"
CANCELED: Final = "CANCELED"
LOST: Final = "LOST"
DAMAGED: Final = "DAMAGED"
REFUSED: Final = "REFUSED"

# The same input would fail again, or somebody wants it to.
_LASTING: Final = frozenset(
    {
        ErrorCode.MODEL_DOES_NOT_EXIST.value,
        ErrorCode.MODEL_INVALID_INPUT.value,
        ErrorCode.ASYNC_REQUEST_NOT_SUPPORTED.value,
        CANCELED,
        REFUSED,
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a line has no result: a code of the platform, or one of those above."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Over:
    """The request is over and its result should be there; ``why`` it is lost if it is not. ``is_certain``: it never comes."""

    why: str
    is_certain: bool = False


def meaning(status: AsyncRequestStatus | None) -> Failure | Over | None:
    """What the platform's answer means; None as the status: it has gone; None as the meaning: it is still open."""
    if status is None:
        return Over("its status has gone, which is kept for an hour, and no result has come")
    match status.status:
        case RequestStatus.QUEUED | RequestStatus.IN_PROGRESS:
            return None
        case RequestStatus.FAILED:
            return failure_of(status.errors)
        case RequestStatus.EXPIRED:
            return Failure(EXPIRED, "it waited in the queue for longer than max_time_in_queue_seconds")
        case RequestStatus.CANCELED:
            return Failure(CANCELED, "it was canceled while it was queued")
    if status.webhook_status is WebhookStatus.PENDING:
        return None
    has_failed = status.webhook_status is WebhookStatus.FAILED
    what = "delivery has failed" if has_failed else "it was delivered"
    if status.webhook_status is WebhookStatus.NO_WEBHOOK_PROVIDED:
        what = "no webhook was asked for"
    return Over(f"inference has succeeded, {what}, and no result has come", is_certain=has_failed)


def failure_of(errors: list[ErrorDetail]) -> Failure:
    """The first of the errors that a request failed with."""
    if not errors:
        return Failure(ErrorCode.INTERNAL_SERVER_ERROR.value, "it failed, and the platform does not say why")
    return Failure(errors[0].code, errors[0].message)


def goes_on(failure: Failure, *, attempts: int, most: int) -> bool:
    """Whether the line is submitted again, after so many submissions that became a request."""
    return failure.code not in _LASTING and attempts < most
