"""``truss-async logs``"""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from ..clock import SYSTEM_CLOCK
from ..contract.harness_calls import LogLine
from ..printable import print_line, printable
from .connection import HARNESS_HERE, Connection
from .options import AsJson, flag, print_json
from .variables import variable

FOLLOW_SECONDS = 0.5
MAX_AT_ONCE = 1000


def logs(
    request_id: Annotated[
        str | None,
        Parameter(
            name="REQUEST_ID",
            help="Only the lines of this request: its id, or at least its first six characters.",
        ),
    ] = None,
    /,
    *,
    follow: Annotated[bool, flag("follow", "Keep printing new lines, until Ctrl-C.")] = False,
    limit: Annotated[
        int, Parameter(help="Maximum number to show; the newest are shown.", env_var=variable("logs_limit"))
    ] = MAX_AT_ONCE,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Print the log lines of the model, for one request or for all. With --json, one object per line.

    Example:
        truss-async logs 3f2a91bc
        truss-async logs --follow
    """
    with connection.to_harness() as client:
        wanted = None if request_id is None else client.full_id(request_id)
        found = client.log_lines(request_id=wanted, limit=limit)
        _print(found.lines, as_json=as_json, with_id=wanted is None)
        while follow:
            SYSTEM_CLOCK.block(FOLLOW_SECONDS)
            found = client.log_lines(request_id=wanted, after=found.next, limit=MAX_AT_ONCE)
            _print(found.lines, as_json=as_json, with_id=wanted is None)


def _print(lines: Sequence[LogLine], *, as_json: bool, with_id: bool) -> None:
    for line in lines:
        if as_json:
            print_json(line.model_dump_json())
            continue
        of = f" [{line.request_id}]" if with_id and line.request_id else ""
        level = f" {line.level.upper()}" if line.level not in ("info", "debug") else ""
        print_line(printable(f"{line.at:%H:%M:%S} {line.replica}{of}{level} {line.message}"))
