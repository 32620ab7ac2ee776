"""What a person sees while the demo runs, and the table at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..printable import printable
from ..webhooks.receiver import VALID

if TYPE_CHECKING:
    from rich.status import Status

    from ..clock import Clock
    from .outcomes import PageOutcome

_WIDTH_OF_A_FILE: Final = 170  # enough for every row on one line
_NARROWEST: Final = 80


class Screen:
    """Plain lines as things happen, with the seconds since the start; on a terminal also what is going on now."""

    def __init__(self, *, clock: Clock, console: Console | None = None) -> None:
        self._clock = clock
        self._began = clock.monotonic()
        self._console = console or _console()

    def say(self, line: str) -> None:
        """One more line; safe from any thread."""
        seconds = self._clock.monotonic() - self._began
        self._console.print(
            f"[dim]{seconds:6.1f} s[/dim]  {escape(printable(line))}", highlight=False, soft_wrap=True
        )

    def busy(self, text: str) -> AbstractContextManager[Status]:
        """Show that something goes on, on a terminal."""
        return self._console.status(escape(text))

    def show_table(self, outcomes: Sequence[PageOutcome]) -> None:
        """One row a page. On a narrow screen long names are broken over lines, never cut."""
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
        table.add_column("page", no_wrap=True)
        table.add_column("request id", overflow="fold", min_width=8)
        table.add_column("prio", justify="right", no_wrap=True)
        table.add_column("queue\nsec.", justify="right", no_wrap=True)
        table.add_column("model\nsec.", justify="right", no_wrap=True)
        table.add_column("status", no_wrap=True)
        table.add_column("webhook,\nsignature", overflow="fold", min_width=9)
        table.add_column("object key", overflow="fold", min_width=12)
        table.add_column("lines", justify="right", no_wrap=True, min_width=5)
        for outcome in outcomes:
            table.add_row(
                outcome.submission.page.removesuffix(".png"),
                outcome.submission.request_id,
                str(outcome.submission.priority),
                _seconds(outcome.queue_seconds),
                _seconds(outcome.inference_seconds),
                _verdict(outcome.status.status.value, good=outcome.status.status.value == "SUCCEEDED"),
                _verdict(
                    f"{outcome.status.webhook_status.value} {outcome.signature}",
                    good=outcome.signature == VALID and outcome.status.webhook_status.value == "SUCCEEDED",
                ),
                outcome.stored.key,
                str(outcome.line_count),
            )
        self._console.print()
        self._console.print(table)
        self._console.print()

    def show_files(self, folder: Path, names: Sequence[str]) -> None:
        """Where the annotated pages are."""
        for name in names:
            self._console.print(escape(str(folder / name)), highlight=False, soft_wrap=True)
        self._console.print(
            f"{len(names)} annotated pages, each with its result beside it as JSON", highlight=False
        )
        self._console.print("next: make a truss of your own with: truss-async init hello", highlight=False)


def _console() -> Console:
    if not sys.stdout.isatty() and "COLUMNS" not in os.environ:
        return Console(width=_WIDTH_OF_A_FILE)
    console = Console()
    return console if console.width >= _NARROWEST else Console(width=_NARROWEST)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _verdict(text: str, *, good: bool) -> str:
    return f"[{'green' if good else 'red'}]{escape(text)}[/]"
