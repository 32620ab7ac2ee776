"""What one owner was given, and has not recorded yet: so that what an answer that never came gave it is found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Claims:
    """The ids of things that are this owner's.

    A connection may break after the database has committed a claim, and before its answer is in: the thing is then
    this owner's, who knows nothing of it, and nobody else takes it as long as the lease is renewed.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._has_missed_answers = False
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def claiming(self) -> AsyncIterator[None]:
        """A statement that claims, of which there is one at a time; it ends well, or its answer was missed."""
        async with self._turn:
            is_heard = False
            try:
                yield
                is_heard = True
            finally:
                self._has_missed_answers |= not is_heard

    @property
    def known(self) -> list[str] | None:
        """What is known to be this owner's, if there may be more; None when there is not."""
        return sorted(self._ids) if self._has_missed_answers else None

    def all_found(self) -> None:
        """There is nothing more."""
        self._has_missed_answers = False

    async def expect(self, request_id: str) -> None:
        """It is about to be this owner's: not while what is not known is looked for, or it would be taken for that."""
        if self._has_missed_answers:
            async with self._turn:
                self.add(request_id)
        else:
            self.add(request_id)

    def add(self, request_id: str) -> None:
        """It is this owner's."""
        self._ids.add(request_id)

    def discard(self, request_id: str) -> None:
        """It is recorded, or somebody else's."""
        self._ids.discard(request_id)

    def clear(self) -> None:
        """Another owner begins, with nothing."""
        self._ids.clear()
        self._has_missed_answers = False
