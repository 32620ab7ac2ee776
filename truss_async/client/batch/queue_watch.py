"""What the platform's queue says about the target now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...contract.limits import MAX_OPEN_REQUESTS
from ...errors import ApiError, ApiKeyRefusedError

if TYPE_CHECKING:
    from .flow import Flow

_SECONDS: Final = 5.0
_UNTIL_AWAKE_SECONDS: Final = 1.0
# Others submit to it, too, and the limit is the organisation's.
_FULL_SHARE: Final = 0.9


class QueueWatch:
    """``is_awake``: the model works. ``is_full``: the queue has nearly as many requests as there may be.

    ``busy_seconds`` adds up how many of the target's requests were in progress for how long, anybody's: the
    replica-seconds used, of a model that takes one request at a time.
    """

    def __init__(self, flow: Flow, *, is_awake: bool) -> None:
        self._flow = flow
        self.is_awake = is_awake
        self.is_full = False
        self.busy_seconds = 0.0

    async def run(self) -> None:
        if not self.is_awake:
            await self._wake()
        last = self._flow.clock.monotonic()
        while True:
            await self._flow.clock.sleep(_SECONDS if self.is_awake else _UNTIL_AWAKE_SECONDS)
            now = self._flow.clock.monotonic()
            await self._ask(now - last)
            last = now

    async def _wake(self) -> None:
        try:
            await self._flow.client.wake()
        except ApiError as error:
            self._note(error)

    async def _ask(self, passed: float) -> None:
        try:
            queue = await self._flow.client.queue_status()
        except ApiError as error:
            self._note(error)
            return
        self.busy_seconds += queue.num_in_progress_requests * passed
        self.is_awake = self.is_awake or queue.num_in_progress_requests > 0
        of_all = queue.num_queued_requests + queue.num_in_progress_requests
        self.is_full = of_all >= MAX_OPEN_REQUESTS * _FULL_SHARE
        self._flow.changed()

    def _note(self, error: ApiError) -> None:
        if isinstance(error, ApiKeyRefusedError):
            self._flow.stop_with(error)
