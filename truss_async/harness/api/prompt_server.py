"""uvicorn without its habit of looking every tenth of a second whether it is to stop: a harness stops at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvicorn

from ...clock import SYSTEM_CLOCK, wait_for_event

if TYPE_CHECKING:
    import socket

TICK_SECONDS = 0.1


class PromptServer(uvicorn.Server):
    """A server whose ``stop`` takes no time when nobody is connected."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let ``serve`` come to its end, once what is being answered is answered."""
        self.should_exit = True
        self._stopping.set()

    async def main_loop(self) -> None:
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            await wait_for_event(self._stopping, clock=SYSTEM_CLOCK, seconds=TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self.server_state.connections or self.server_state.tasks:
            await super().shutdown(sockets)
            return
        for server in self.servers:
            server.close()
        for listening in sockets or ():
            listening.close()
