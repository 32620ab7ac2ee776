"""How many calls were answered by all nodes together, in a table of its own."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ..call_rates import TakenCalls

if TYPE_CHECKING:
    from .database import Database


class PostgresCallRates:
    """CallRates in a schema that is up to date. A crash of the server may forget the latest calls: nobody waits for its disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, name: str, *, wanted: int, calls: int, per: timedelta) -> TakenCalls:
        values = {"name": name, "wanted": wanted, "calls": calls, "micros": per // timedelta(microseconds=1)}
        (row,) = await self._database.run("take_calls", values)
        return TakenCalls(row["granted"], row["calls_left"])
