"""How much is done at once of what may be much, so that nobody else waits for more than a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

FIRST: Final = 16
SECONDS: Final = 0.01
"""What a slice is to take at most."""


class SliceSize:
    """``limit`` says how many the next slice is of, up to ``most``: fewer after one that took long, more after a short one."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self.limit = min(FIRST, most)

    def took(self, seconds: float) -> None:
        """A full slice was done in that time."""
        if seconds > SECONDS:
            self.limit = max(1, self.limit // 2)
        elif seconds < SECONDS / 4:
            self.limit = min(self.limit * 2, self._most)

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Do a full slice within this."""
        clock = asyncio.get_running_loop().time
        begun = clock()
        yield
        self.took(clock() - begun)
