"""The harnesses that share a queue, in the table of its owners."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..nodes import Node, NodeReplicas

if TYPE_CHECKING:
    from .database import Database


class PostgresNodes:
    """A NodeList: what a node tells of itself lies beside its lease, and goes with it."""

    own: Callable[[], Node] | None = None

    def __init__(self, database: Database) -> None:
        self._database = database
        self._owner: int | None = None
        self._told: Node | None = None

    async def register(self, owner: int | None) -> None:
        """Tell the others what this one is, if it is to be known; it is that owner."""
        self._owner, self._told = owner, None
        await self.tell()

    async def tell(self) -> None:
        if self.own is None or (me := self.own()) == self._told:
            return
        values = {"owner": self._owner, "url": me.url, "replicas": json.dumps(dict(me.replicas))}
        await self._database.run("register", values)
        self._told = me

    async def all(self) -> list[Node]:
        rows = await self._database.run("nodes", {})
        return [Node(row["url"], _replicas(row["replicas"])) for row in rows]

    async def seen_from(self) -> str | None:
        (row,) = await self._database.run("seen_from", {})
        address: str | None = row["address"]
        return address


def _replicas(told: str) -> dict[str, NodeReplicas]:
    return {path: NodeReplicas(*each) for path, each in json.loads(told).items()}
