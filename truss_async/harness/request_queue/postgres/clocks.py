"""Between the time of the database and that of an owner, whose clock may be minutes off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ..rows import micros

if TYPE_CHECKING:
    from datetime import datetime

# What an answer takes looks like a difference, and moments should not waver with it.
_TOLERANCE_MICROS: Final = 250_000
_MOMENTS: Final = frozenset(
    {
        "at",
        "created_at",
        "erase_at",
        "expires_at",
        "finished_at",
        "next_attempt_at",
        "next_delivery_at",
        "over_at",
        "sent_at",
        "started_at",
        "status_at",
    }
)


class DatabaseClock:
    """How far the database's clock is ahead of one's own, as it was seen last."""

    _ahead = 0

    def seen(self, database_micros: int, own: datetime) -> None:
        """The two clocks were read at about the same time."""
        ahead = database_micros - micros(own)
        if abs(ahead - self._ahead) > _TOLERANCE_MICROS:
            self._ahead = ahead if abs(ahead) > _TOLERANCE_MICROS else 0

    def of_database(self, own_micros: int) -> int:
        """A moment of one's own, in the time of the database."""
        return own_micros + self._ahead

    def in_own_time(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row, with its moments in one's own time."""
        if self._ahead == 0:
            return row
        return {
            name: value - self._ahead if name in _MOMENTS and value is not None else value
            for name, value in row.items()
        }
