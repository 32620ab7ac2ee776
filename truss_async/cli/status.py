"""``truss-async status``"""

import sys
from typing import Annotated, TextIO

from cyclopts import Parameter

from ..client.refusals import one_line
from ..contract import AsyncRequestStatus
from .connection import DEFAULT_URL, ApiKey, Url, connect
from .options import AsJson


def status(
    request_id: Annotated[str, Parameter(name="REQUEST_ID", help="What `submit` printed.")],
    /,
    *,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Show where an async request stands. A status is kept for one hour after completion.

    Example:
        truss-async status 0123456789abcdef0123456789abcdef
        truss-async status 0123456789abcdef0123456789abcdef --json
    """
    with connect(url, api_key) as client:
        print_status(client.status(request_id), as_json=as_json, file=sys.stdout)


def print_status(status: AsyncRequestStatus, *, as_json: bool, file: TextIO) -> None:
    """Print a status: for people, one fact a line; as JSON, as the platform answers."""
    if as_json:
        print(status.model_dump_json(exclude_none=True), file=file)
        return
    rows = [
        ("request", status.request_id),
        ("model", status.model_id or status.chain_id or "-"),
        ("deployment", status.deployment_id or "-"),
        ("status", status.status.value),
        ("webhook", status.webhook_status.value),
        ("created", f"{status.created_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("changed", f"{status.status_at:%Y-%m-%d %H:%M:%S} UTC"),
        *(("error", f"{error.code}: {error.message}") for error in status.errors),
    ]
    for name, value in rows:
        print(f"{name:<12}{one_line(value)}", file=file)
