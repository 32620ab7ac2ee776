"""How far a batch is, shown while it runs."""

import asyncio
import json
import sys
from dataclasses import asdict
from typing import Any

from ..client.batch import Batch, Progress
from ..client.batch.progress import progress_line
from ..clock import SYSTEM_CLOCK
from ..printable import print_line

BAR_SECONDS = 0.5
LINE_SECONDS = 30.0


async def watch(made: Batch, running: "asyncio.Future[Any]", *, is_shown: bool, as_json: bool) -> None:
    """Until the run is over: a bar on a terminal, else a line now and then; as JSON, on standard output."""
    if as_json:
        await _each(running, LINE_SECONDS, lambda: print_progress(made.progress()))
        print_progress(made.progress())
    elif is_shown and sys.stderr.isatty():
        await _show_bar(made, running)
    elif is_shown:
        await _each(running, LINE_SECONDS, lambda: _print_line(made.progress()))
    else:
        await asyncio.wait([running])


async def _each(running: "asyncio.Future[Any]", seconds: float, show: Any) -> None:
    while True:
        pause = asyncio.ensure_future(SYSTEM_CLOCK.sleep(seconds))
        await asyncio.wait([running, pause], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            pause.cancel()
            return
        show()


async def _show_bar(made: Batch, running: "asyncio.Future[Any]") -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (BarColumn(bar_width=24), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("reading the input", total=None)

        def show() -> None:
            now = made.progress()
            if now.lines:
                bars.update(
                    task, total=now.lines, completed=now.done + now.failed, description=progress_line(now)
                )

        await _each(running, BAR_SECONDS, show)


def _print_line(progress: Progress) -> None:
    print_line(progress_line(progress), file=sys.stderr)


def print_progress(progress: Progress) -> None:
    """As a line of JSON."""
    print_line(json.dumps({"event": "progress", **asdict(progress)}))
