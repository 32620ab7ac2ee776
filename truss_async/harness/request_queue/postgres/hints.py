"""Owners tell each other of work, so that nobody need ask for it all the time; who misses a hint finds it when he asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import sql

from ..protocol import RequestQueueError
from .connecting import connected

if TYPE_CHECKING:
    from .database import Database

PAUSE_SECONDS: Final = 1.0
REST_SECONDS: Final = 0.05
"""Between two hints: each is a commit for which all others of the database wait."""


class Hints:
    """Hints by NOTIFY, on a channel that is called like the schema."""

    def __init__(self, address: str, database: Database) -> None:
        self._address = address
        self._database = database
        self._name = token_hex(8)
        self._untold: set[str] = set()
        self._awake = asyncio.Event()

    @property
    def channel(self) -> str:
        """On which owners of this schema listen."""
        return f"truss_async:{self._database.schema}"

    @property
    def farewell(self) -> str:
        """What is told when this owner leaves everything to the others."""
        return json.dumps([self._name, None])

    def queued(self, deployment_id: str) -> None:
        """Tell the others soon that a request of this deployment was queued."""
        self._untold.add(deployment_id)
        self._awake.set()

    async def tell(self, *, pause: Callable[[float], Awaitable[None]]) -> None:
        """Tell the others, until cancelled."""
        while True:
            await self._awake.wait()
            self._awake.clear()
            untold, self._untold = self._untold, set()
            for deployment_id in untold:
                payload = json.dumps([self._name, deployment_id])
                try:
                    await self._database.run("tell", {"channel": self.channel, "payload": payload})
                except RequestQueueError:
                    break  # they find it by themselves
            await pause(REST_SECONDS)

    async def listen(
        self,
        *,
        on_queued: Callable[[str], None],
        on_farewell: Callable[[], None],
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        """Call these with what others tell, until cancelled; after a while without a connection, as after a farewell."""
        while True:
            try:
                connection = await connected(self._address)
                async with connection:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(self.channel)))
                    on_farewell()
                    async for told in connection.notifies():
                        self._hear(told.payload, on_queued, on_farewell)
            except psycopg.Error:
                pass  # whoever uses the queue says what is wrong with the database
            await pause(PAUSE_SECONDS)

    def _hear(self, payload: str, on_queued: Callable[[str], None], on_farewell: Callable[[], None]) -> None:
        try:
            name, deployment_id = json.loads(payload)
        except (ValueError, TypeError):
            return  # it is not one of ours
        if name == self._name:
            return
        if deployment_id is None:
            on_farewell()
        elif isinstance(deployment_id, str):
            on_queued(deployment_id)
