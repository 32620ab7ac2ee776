"""What becomes of a request, or a result, that the disk has damaged: it fails, and says why; the others go on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from ...contract import ErrorCode, ErrorDetail, InferenceRetryConfig, RequestStatus
from .accepted import AcceptedRequest
from .checksums import head_checksum, is_head_intact, is_input_intact, is_result_intact, result_checksum
from .damage_log import Damaged, Finding
from .queries import queries
from .rows import claimed_request, due_delivery, errors_json, micros, number

if TYPE_CHECKING:
    import sqlite3

    from .protocol import ClaimedRequest, DueDelivery

_SQL = queries()
NOBODY: Final = AcceptedRequest("", None, None, InferenceRetryConfig())
_REQUEST: Final = "was damaged on the disk of the harness; submit it again"
_INPUT: Final = "the model input was damaged on the disk of the harness; submit it again"
_RESULT: Final = "the result was damaged on the disk of the harness; submit the request again"

Note = Callable[[Finding], None]
T_co = TypeVar("T_co", covariant=True)


class Judge(Protocol[T_co]):
    """Makes of a row what it is of, be it damaged or not."""

    def __call__(
        self, connection: sqlite3.Connection, row: sqlite3.Row, *, now: datetime | None, note: Note
    ) -> T_co: ...


def claimed(
    connection: sqlite3.Connection, row: sqlite3.Row, *, now: datetime | None, note: Note
) -> ClaimedRequest:
    """The request of the row, with its damage if there is any."""
    if not is_head_intact(row):
        request_id = _disown(connection, row, now=now)
        note(Finding(Damaged.REQUEST, f"request {request_id} {_REQUEST}"))
        return _damaged(row, request_id, NOBODY, f"the request {_REQUEST}", now=now)
    if not is_input_intact(row):
        note(Finding(Damaged.INPUT, f"request {row['request_id']}: {_INPUT}"))
        accepted = AcceptedRequest.from_json(row["request"])
        return _damaged(row, row["request_id"], accepted, _INPUT, now=now)
    return claimed_request(row)


def due(
    connection: sqlite3.Connection, row: sqlite3.Row, *, now: datetime | None, note: Note
) -> DueDelivery | None:
    """The delivery of the row: of a failure, if the result is damaged; None when nobody knows where to."""
    errors = errors_json([ErrorDetail.of(ErrorCode.INTERNAL_SERVER_ERROR, _RESULT)])
    if not is_head_intact(row):
        request_id = _disown(connection, row, now=now)
        note(
            Finding(
                Damaged.REQUEST,
                f"request {request_id} was damaged on the disk of the harness; its result cannot be sent",
            )
        )
        at = row["created_at"] if now is None else micros(now)
        connection.execute(_SQL["end_disowned"], {"seq": row["seq"], "errors": errors, "now": number(at)})
        connection.execute(_SQL["erase_output"], {"seq": row["seq"]})
        return None
    is_missing = row["status"] == RequestStatus.SUCCEEDED.value and row["model_output"] is None
    if not is_missing and is_result_intact(row):
        return due_delivery(row)
    note(Finding(Damaged.RESULT, f"request {row['request_id']}: {_RESULT}"))
    made = result_checksum(row["request_id"], errors, None)
    connection.execute(_SQL["spoil_output"], {"seq": row["seq"], "errors": errors, "result_checksum": made})
    connection.execute(_SQL["erase_output"], {"seq": row["seq"]})
    return due_delivery({**dict(row), "errors": errors, "model_output": None})


def _disown(connection: sqlite3.Connection, row: sqlite3.Row, *, now: datetime | None) -> str:
    """Let nothing be left of what was asked; return the id."""
    found = row["request_id"]
    at = number(row["created_at"]) if now is None else micros(now)
    head = {
        "request_id": found if isinstance(found, str) else f"damaged-{row['seq']}",
        "deployment_id": row["deployment_id"],
        "priority": number(row["priority"]),
        "request": NOBODY.to_json(),
        "created_at": at,
        "expires_at": at,
    }
    connection.execute(_SQL["disown"], {**head, "seq": row["seq"], "head_checksum": head_checksum(head)})
    return str(head["request_id"])


def _damaged(
    row: sqlite3.Row, request_id: str, accepted: AcceptedRequest, damage: str, *, now: datetime | None
) -> ClaimedRequest:
    whole = {**dict(row), "request_id": request_id, "request": accepted.to_json(), "model_input": b"null"}
    if now is not None:
        whole["created_at"] = micros(now)
    whole["priority"] = number(row["priority"])
    return claimed_request(whole, damage=damage)
