"""From facts to HTML: the templates, and how times, sizes and texts of others are written in them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ..printable import escaped, shortened, without_logins
from .static_files import static_url

FOLDER: Final = Path(__file__).parent
LONGEST_TEXT: Final = 60_000
_ANSI: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_SHAPES: Final = {
    "QUEUED": "○", "IN_PROGRESS": "◐", "PENDING": "◐", "starting": "◐", "SUCCEEDED": "●", "ready": "●",
    "FAILED": "✕", "WEBHOOK_FAILED": "✕", "failed": "✕", "EXPIRED": "◇", "CANCELED": "□",
    "yes": "●", "not tried": "–", "NO_WEBHOOK_PROVIDED": "–", "scaled_to_zero": "○",
}  # fmt: skip
_UNITS: Final[tuple[tuple[int, str], ...]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def make_environment() -> Environment:
    """Templates in which everything is escaped and nothing may be missing."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(static=static_url)
    environment.filters.update(
        seconds=seconds_text, status=status_mark, shown=shown, ago=ago, exact=exact, milliseconds=milliseconds
    )
    return environment


def shown(text: object, limit: int = LONGEST_TEXT) -> str:
    """Text of others as it may be shown: without colours of a terminal and logins of URLs, what plays tricks made visible."""
    plain = _ANSI.sub("", str(text)).replace("\r\n", "\n")
    return escaped(shortened(without_logins(plain), limit=limit))


def seconds_text(value: float | None) -> str:
    """``0.012 s``, ``4.2 s``, ``3 min 20 s``; a dash for what is not known."""
    if value is None:
        return "–"
    if value < 60:
        return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
    for size, unit in _UNITS:
        if value >= size:
            whole, rest = divmod(int(value), size)
            smaller = _UNITS[_UNITS.index((size, unit)) + 1]
            more = rest // smaller[0]
            return f"{whole} {unit} {more} {smaller[1]}" if more else f"{whole} {unit}"
    return f"{value:.0f} s"


def milliseconds(value: float) -> str:
    """Of a latency."""
    return seconds_text(value / 1000)


@lru_cache(maxsize=256)
def status_mark(word: str) -> Markup:
    """A status by its word and a shape; the colour only says it again."""
    shape = _SHAPES.get(word, "·")
    return Markup(
        '<span class="status" data-status="{}"><span aria-hidden="true">{}</span> {}</span>'
    ).format(word, shape, word)


def exact(at: datetime) -> str:
    """A moment in full."""
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(" ", "milliseconds") + " UTC"


def ago(at: datetime, now: datetime) -> Markup:
    """How long ago, or from now, with the exact moment on hover."""
    passed = (now - at) / timedelta(seconds=1)
    text = (
        "now" if abs(passed) < 1 else f"{_rough(abs(passed))} ago" if passed > 0 else f"in {_rough(-passed)}"
    )
    marked = f'<time datetime="{at.isoformat()}" title="{exact(at)}">{text}</time>'
    return Markup(marked)  # noqa: S704 - none of it is of others


def _rough(seconds: float) -> str:
    size, unit = next(each for each in _UNITS if seconds >= each[0] or each[0] == 1)
    return f"{int(seconds // size)} {unit}"
