"""``truss-async clock``: what time it is in a harness, and later."""

import json
from datetime import datetime
from typing import Annotated

from cyclopts import App, Parameter

from ..contract.moments import duration
from ..errors import SettingsError
from .connection import HARNESS_HERE, Connection
from .options import AsJson

clock = App(name="clock", help_epilogue="Example:\n    truss-async clock advance 1h")


@clock.default
@clock.command(name="show")
def show_clock(*, connection: Connection = HARNESS_HERE, as_json: AsJson = False) -> None:
    """Show the time of a harness's clock.

    Example:
        truss-async clock show
    """
    with connection.to_harness() as client:
        _print(client.read_clock(), as_json=as_json)


@clock.command(name="advance")
def advance_clock(
    time: Annotated[str, Parameter(name="TIME", help="How far to advance: 30s, 15m, 12h, 7d.")],
    /,
    *,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> None:
    """Advance the clock of a harness that was started with --virtual-clock. Everything due by then happens.

    Example:
        truss-async clock advance 1h
    """
    try:
        seconds = duration(time).total_seconds()
    except ValueError as error:
        raise SettingsError(f"TIME: {error}") from None
    with connection.to_harness() as client:
        _print(client.advance_clock(seconds), as_json=as_json)


def _print(now: datetime, *, as_json: bool) -> None:
    print(json.dumps({"now": now.isoformat()}) if as_json else f"{now:%Y-%m-%d %H:%M:%S} UTC")
