"""Notices that a served truss is edited, and says what that means for the model that is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..printable import printable

if TYPE_CHECKING:
    from ..clock import Clock

LOOK_SECONDS: Final = 1.0
_CODE: Final = ("model", "packages")

Stamp = tuple[int, int]


class SourceWatch:
    """Looks at the code and the config of a truss every second; ``report`` gets a line for each edit.

    ``clock`` is the system's, whatever the requests go by: people edit in real time.
    """

    def __init__(
        self,
        truss_dir: Path,
        *,
        clock: Clock,
        report: Callable[[str], None],
        reload: Callable[[], Awaitable[None]] | None = None,
        retry: Callable[[], bool] = lambda: False,
    ) -> None:
        """``retry`` loads again at once what did not load, and returns whether there was such a thing. With ``reload``, which returns when the edited model serves or has failed, an edit has that for its answer."""
        self._truss_dir = truss_dir
        self._clock = clock
        self._report = report
        self._reload = reload
        self._retry = retry
        self._seen = self._stamps()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            if changed := await asyncio.to_thread(self.look):
                await self._tell(changed)

    async def _tell(self, changed: list[Path]) -> None:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        what = f"{printable(str(changed[0]))}{more} changed"
        if self._retry():
            self._report(f"{what}; reloading the model")
            return
        if self._reload is None:
            self._report(
                f"{what}; the old version is still served; restart the harness to serve the new one, or start it with --reload"
            )
            return
        self._report(f"{what}; loading the new version, which then takes over")
        await self._reload()

    def look(self) -> list[Path]:
        """What came, went or changed since the last look, in the order of the names."""
        before, self._seen = self._seen, self._stamps()
        return sorted({path for path, _ in before.items() ^ self._seen.items()})

    def _stamps(self) -> dict[Path, Stamp]:
        stamps: dict[Path, Stamp] = {}
        for path in self._files():
            try:
                status = path.stat()
            except OSError:  # it goes while it is looked at
                continue
            stamps[path] = (status.st_mtime_ns, status.st_size)
        return stamps

    def _files(self) -> Iterator[Path]:
        yield self._truss_dir / "config.yaml"
        for folder in _CODE:
            yield from (self._truss_dir / folder).rglob("*.py")
