"""The harnesses that share a queue, in the table of its owners."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ..nodes import Node

if TYPE_CHECKING:
    from .database import Database


class PostgresNodes:
    """A NodeList: what a node tells of itself lies beside its lease, and goes with it."""

    own: Node | None = None

    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, owner: int | None) -> None:
        """Tell the others what this one is, if it is to be known; it is that owner."""
        if self.own is not None:
            values = {"owner": owner, "url": self.own.url, "replicas": json.dumps(dict(self.own.replicas))}
            await self._database.run("register", values)

    async def all(self) -> list[Node]:
        rows = await self._database.run("nodes", {})
        return [Node(row["url"], json.loads(row["replicas"])) for row in rows]

    async def seen_from(self) -> str | None:
        (row,) = await self._database.run("seen_from", {})
        address: str | None = row["address"]
        return address
