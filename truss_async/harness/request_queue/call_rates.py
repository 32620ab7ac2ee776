"""How many calls were answered, of all harnesses that share a queue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class TakenCalls:
    """So many calls were granted, and so many (not a whole number) could be by others at that moment."""

    granted: int
    left: float


class CallRates(Protocol):
    """Buckets that all take from. One that is not known is full, and fills evenly, by the clock of the storage."""

    async def take(self, name: str, *, wanted: int, calls: int, per: timedelta) -> TakenCalls:
        """As many calls as there are, and no more than wanted, of those that are allowed in so long.

        Raises:
            RequestQueueError: the storage fails.
        """
