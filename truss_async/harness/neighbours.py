"""Hears what other nodes that share the queue say, and tells them of what this one queues."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activity import Activity
    from .request_queue.postgres import Hints


class Neighbours:
    """``on_queued`` is called, by the deployment, when others queued requests of it, and ``on_farewell`` when one left.

    All that is a hint, and may fail to come: whoever waits for it asks the queue now and then.
    """

    def __init__(
        self,
        hints: Hints,
        *,
        on_queued: Mapping[str, Callable[[], None]],
        on_farewell: Callable[[], None],
        activity: Activity,
    ) -> None:
        self._hints = hints
        self._on_queued = on_queued
        self._on_farewell = on_farewell
        self._activity = activity

    async def run(self) -> None:
        """Hear and tell, until cancelled."""
        listening = self._hints.listen(
            on_queued=self._hear_of, on_farewell=self._on_farewell, pause=self._activity.sleep
        )
        await asyncio.gather(listening, self._hints.tell(pause=self._activity.sleep))

    def _hear_of(self, deployment_id: str) -> None:
        if deployment_id in self._on_queued:
            self._on_queued[deployment_id]()
