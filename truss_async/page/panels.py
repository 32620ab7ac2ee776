"""The part of a page that goes on by itself: made once a change for all who look, and less often when that takes long."""

from __future__ import annotations

import asyncio
import gzip
import math
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from starlette.responses import HTMLResponse, Response

from ..clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request

    from .history import History

ASKS_FOR_PANEL: Final = "HX-Request"
"""The header that htmx sends."""
SLOWEST_SECONDS: Final = 2.0
"""A change is told so late at most, unless making all panels that are watched would take a twentieth of the time by itself."""
_SHARE_OF_ONE: Final = 1 / 100
_SHARE_OF_ALL: Final = 1 / 20
_PACKS_FAST: Final = 1
_MIN_PACKED: Final = 500


def is_for_panel(request: Request) -> bool:
    """Whether only the part of a page is asked for that goes on by itself."""
    return ASKS_FOR_PANEL in request.headers


def here(request: Request) -> str:
    """Where a page is found: its path, with what was asked."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


@dataclass(frozen=True, slots=True)
class _Made:
    status: int
    body: bytes
    packed: bytes | None

    def response(self, request: Request) -> Response:
        if self.packed is None or "gzip" not in request.headers.get("accept-encoding", ""):
            return HTMLResponse(self.body, status_code=self.status, headers={"Vary": "Accept-Encoding"})
        headers = {"Vary": "Accept-Encoding", "Content-Encoding": "gzip"}
        return HTMLResponse(self.packed, status_code=self.status, headers=headers)


class Panel:
    """A panel that somebody watches. ``told`` is the version of its section that watchers were told of, or have seen; ``is_told``: the former."""

    def __init__(self, section: str) -> None:
        self.section = section
        self.told = ""
        self.is_told = False
        self.watchers = 0
        self.took_seconds = 0.0
        self._rests_until = 0
        self._making: asyncio.Task[_Made] | None = None
        self._made_for: str | None = None

    def at(self, tick: int, *, version: str, all_took_seconds: float) -> None:
        """A second has passed: tell of what is new by now, if it has rested as long as its making takes."""
        if version != self.told and tick >= self._rests_until:
            self.told, self.is_told = version, True
            self._rests_until = tick + rest_of(self.took_seconds, all_took_seconds)

    async def answer(self, request: Request, make: Callable[[], Awaitable[Response]]) -> Response:
        """The panel, made by whoever asks first since the last change that was told."""
        if self._making is None or self._made_for != self.told or _is_spent(self._making):
            self._made_for = self.told
            self._making = asyncio.get_running_loop().create_task(self._make(make), name="PagePanel")
        return (await asyncio.shield(self._making)).response(request)

    async def _make(self, make: Callable[[], Awaitable[Response]]) -> _Made:
        begun = SYSTEM_CLOCK.monotonic()
        response = await make()
        body = bytes(response.body)
        packed = gzip.compress(body, _PACKS_FAST) if len(body) >= _MIN_PACKED else None
        self.took_seconds = SYSTEM_CLOCK.monotonic() - begun
        return _Made(response.status_code, body, packed)


class Panels:
    """The panels that are watched, by where they are found."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._watched: dict[str, Panel] = {}

    def watched(self, request: Request) -> Panel | None:
        """The panel that is asked for; None: nobody watches it."""
        return self._watched.get(here(request))

    @contextmanager
    def watching(self, place: str, *, section: str) -> Iterator[Panel]:
        """Watch a panel for as long as this lasts."""
        panel = self._watched.get(place)
        if panel is None:
            panel = self._watched[place] = Panel(section)
        panel.told = self._history.version(section)  # what who comes now has seen
        panel.watchers += 1
        try:
            yield panel
        finally:
            panel.watchers -= 1
            if not panel.watchers:
                del self._watched[place]

    def tell(self, tick: int) -> None:
        """A second has passed."""
        took = sum(each.took_seconds for each in self._watched.values())
        for panel in self._watched.values():
            panel.at(tick, version=self._history.version(panel.section), all_took_seconds=took)


def rest_of(took_seconds: float, all_took_seconds: float) -> int:
    """How many seconds pass until the next change of a panel is told, when making it, and all panels, took so long."""
    own = min(SLOWEST_SECONDS, took_seconds / _SHARE_OF_ONE)
    return math.ceil(max(1.0, own, all_took_seconds / _SHARE_OF_ALL))


def _is_spent(making: asyncio.Task[_Made]) -> bool:
    return making.done() and (making.cancelled() or making.exception() is not None)
