"""``truss-async requests``"""

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from ..client.refusals import one_line
from ..clock import SYSTEM_CLOCK
from ..contract.harness_calls import RequestList, RequestSummary
from ..errors import SettingsError
from ..printable import print_line
from .connection import HARNESS_HERE, Connection
from .options import AsJson, flag, own_option, print_json
from .variables import variable

DEFAULT_LIMIT = 20
WATCH_SECONDS = 2.0

StatusName = Literal["QUEUED", "IN_PROGRESS", "SUCCEEDED", "FAILED", "EXPIRED", "CANCELED", "WEBHOOK_FAILED"]
WebhookStatusName = Literal["PENDING", "SUCCEEDED", "FAILED", "CANCELED", "NO_WEBHOOK_PROVIDED"]
"""As they are on the wire, in the help as well."""

_Status = Annotated[
    StatusName | None,
    Parameter(
        help="Only requests with this status, such as FAILED.",
        env_var=variable("requests_status"),
        show_choices=True,
    ),
]
_WebhookStatus = Annotated[
    WebhookStatusName | None,
    Parameter(
        help="Only requests with this webhook status, such as FAILED.",
        env_var=variable("requests_webhook_status"),
        show_choices=True,
    ),
]
_Priority = Annotated[
    Literal[0, 1, 2] | None,
    Parameter(help="Only requests with this priority.", env_var=variable("requests_priority")),
]


def requests(
    *,
    status: _Status = None,
    webhook_status: _WebhookStatus = None,
    priority: _Priority = None,
    deployment: Annotated[
        str | None,
        Parameter(help="Only requests of this deployment id.", env_var=variable("requests_deployment")),
    ] = None,
    since: Annotated[
        str | None,
        Parameter(
            help="Only requests accepted since then: an age such as 30m, 12h or 7d, or a time such as 2026-01-31T12:00Z.",
            env_var=variable("requests_since"),
        ),
    ] = None,
    id_prefix: Annotated[
        str | None,
        Parameter(help="Only requests whose id starts with this.", env_var=variable("requests_id_prefix")),
    ] = None,
    limit: Annotated[
        int,
        Parameter(help="Maximum number to show; the newest are shown.", env_var=variable("requests_limit")),
    ] = DEFAULT_LIMIT,
    after: Annotated[
        str | None, own_option("after", "Start after this position: the `next` value of the previous page.")
    ] = None,
    watch: Annotated[bool, flag("watch", "Refresh the list every 2 seconds, until Ctrl-C.")] = False,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """List the async requests of a harness, newest first, with a count for each status.

    Requests are listed until one hour after completion.

    Example:
        truss-async requests
        truss-async requests --status FAILED --since 1h
        truss-async requests --json --limit 1000
    """
    if limit < 1:
        raise SettingsError("--limit: must be 1 or more")
    with connection.to_harness() as client:
        while True:
            found = client.requests(
                status=status,
                webhook_status=webhook_status,
                priority=priority,
                deployment=deployment,
                since=since,
                id_prefix=id_prefix,
                limit=limit,
                after=after,
            )
            _print(found, as_json=as_json)
            if not watch:
                return
            SYSTEM_CLOCK.block(WATCH_SECONDS)
            if not as_json:
                print()


def _print(found: RequestList, *, as_json: bool) -> None:
    if as_json:
        print_json(found.model_dump_json())
        return
    counts = [f"{number} {status}" for status, number in found.counts.items() if number]
    print(", ".join(counts) if counts else "no requests")
    _print_rows(found.requests)
    if found.next is not None:
        print_line(f"more: --after {found.next}")


def _print_rows(rows: Sequence[RequestSummary]) -> None:
    if not rows:
        return
    print(
        f"\n{'request id':<32}  {'accepted (UTC)':<19}  {'status':<14}  {'queue':>9}  {'model':>9}  webhook"
    )
    for each in rows:
        error = f"  {one_line(each.errors[0].code)}" if each.errors else ""
        print(
            f"{one_line(each.request_id):<32}  {each.created_at:%Y-%m-%d %H:%M:%S}  {each.status.value:<14}"
            f"  {_seconds(each.queue_seconds):>9}  {_seconds(each.model_seconds):>9}"
            f"  {each.webhook_status.value}{error}"
        )


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.3f} s"
