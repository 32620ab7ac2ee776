"""Whether what a chain was generated from is still what lies there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from .chain import Chain

LOOK_SECONDS: Final = 1.0
_MADE_BY_TRUSS: Final = "_model_dbg.py"


@dataclass(frozen=True)
class Sources:
    """The Python files of a chain, by their copies in the trusses that were generated from them."""

    copies: dict[Path, Path]

    @classmethod
    def of(cls, chain: Chain) -> Sources:
        """All that lie beside the chain's file, and below, and that truss ships."""
        packages = chain.entry_point.truss_dir / "packages"
        copies = [path for path in packages.rglob("*.py") if path.name != _MADE_BY_TRUSS]
        return cls({chain.source.folder / copy.relative_to(packages): copy for copy in copies})

    def changed(self) -> set[Path]:
        """The files that are no longer what they were, or no longer there."""
        return {source for source, copy in self.copies.items() if _differ(source, copy)}

    async def watch(self, report: Callable[[str], None], *, remedy: str) -> None:
        """Report each file once, when it changes. Does not end."""
        reported: set[Path] = set()
        while True:
            await SYSTEM_CLOCK.sleep(LOOK_SECONDS)
            for path in sorted(await asyncio.to_thread(self.changed) - reported):
                reported.add(path)
                report(f"{path} was changed after the chain was generated from it; {remedy}")


def _differ(source: Path, copy: Path) -> bool:
    try:
        now, then = source.stat(), copy.stat()  # a copy has the time of its original
        if (now.st_size, now.st_mtime_ns) == (then.st_size, then.st_mtime_ns):
            return False
        return source.read_bytes() != copy.read_bytes()
    except OSError:
        return True
