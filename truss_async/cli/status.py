"""``truss-async status``"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TextIO

from ..client.refusals import one_line
from ..contract import AsyncRequestStatus
from ..contract.harness_calls import DeliveryAttemptRecord, RequestStatusWithDeliveries
from ..errors import ApiError
from .connection import HARNESS_HERE, Connection
from .options import AsJson, RequestId, flag, print_json
from .waiting import why_it_waits

if TYPE_CHECKING:
    from ..client import HarnessClient


def status(
    request_id: RequestId,
    /,
    *,
    deliveries: Annotated[
        bool,
        flag(
            "deliveries",
            "Also show every webhook delivery attempt. Needs a harness; the platform does not list them.",
        ),
    ] = False,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Show the status of an async request. It is available for one hour after completion.

    Example:
        truss-async status 0123456789abcdef0123456789abcdef
        truss-async status 0123456789abcdef0123456789abcdef --deliveries
        truss-async status 0123456789abcdef0123456789abcdef --json
    """
    with connection.to_harness() as client:
        request_id = client.full_id(request_id)
        known = client.status(request_id)
        waits = _why_it_waits(client, known)
        attempts = client.deliveries(request_id) if deliveries else None
    if waits is not None and as_json:
        print(f"waiting: {waits}", file=sys.stderr)
    if attempts is None:
        print_status(known, as_json=as_json, file=sys.stdout, waits=waits)
    elif as_json:
        both = RequestStatusWithDeliveries(**dict(known), deliveries=attempts)
        print_json(both.model_dump_json(exclude_none=True))
    else:
        print_status(known, as_json=False, file=sys.stdout, waits=waits)
        _print_deliveries(attempts, file=sys.stdout)


def _why_it_waits(client: "HarnessClient", known: AsyncRequestStatus) -> str | None:
    try:
        return why_it_waits(client, known)
    except ApiError:
        return None  # the platform does not tell


def print_status(
    status: AsyncRequestStatus, *, as_json: bool, file: TextIO, waits: str | None = None
) -> None:
    """Print a status: for people, one fact a line, and why it still waits; as JSON, as the platform answers."""
    if as_json:
        print_json(status.model_dump_json(exclude_none=True), file=file)
        return
    rows = [
        ("request", status.request_id),
        ("model", status.model_id or status.chain_id or "-"),
        ("deployment", status.deployment_id or "-"),
        ("status", status.status.value),
        *(() if waits is None else (("waits", waits),)),
        ("webhook", status.webhook_status.value),
        ("created", f"{status.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("changed", f"{status.status_at:%Y-%m-%d %H:%M:%S} UTC"),
        *(("error", f"{error.code}: {error.message}") for error in status.errors),
    ]
    for name, value in rows:
        print(f"{name:<12}{one_line(value)}", file=file)


def _print_deliveries(attempts: Sequence[DeliveryAttemptRecord], *, file: TextIO) -> None:
    if not attempts:
        print("\nno delivery attempts", file=file)
        return
    print(f"\n{'attempt':<9}{'sent (UTC)':<21}{'latency':>10}  answer", file=file)
    for sent in attempts:
        answer = ", ".join(str(part) for part in (sent.status_code, sent.error) if part is not None)
        row = f"{sent.attempt:<9}{sent.sent_at:%Y-%m-%d %H:%M:%S}  {sent.latency_ms:>7.0f} ms  {one_line(answer)}"
        print(row, file=file)
