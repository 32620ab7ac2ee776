"""Looking for results where they are kept, from the oldest open request on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from ...errors import InvalidResultError, OutputStoreError
from .verdicts import DAMAGED, LOST, Failure, failure_of

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult
    from .flow import Flow
    from .open_requests import OpenRequest

_AT_ONCE: Final = 32
_FIRST_PAUSE_SECONDS: Final = 0.05
_PAUSE_FACTOR: Final = 1.5
_LONGEST_PAUSE_SECONDS: Final = 2.0


class Looker:
    """Goes on at once as long as it finds something; else in growing pauses, so that waiting costs next to nothing."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    async def run(self) -> None:
        if self._flow.source.is_pushed:
            return
        patience = self._flow.options.patience
        pause = first = min(_FIRST_PAUSE_SECONDS, patience.look)
        longest = min(_LONGEST_PAUSE_SECONDS, patience.longest_look)
        while True:
            due = self._flow.open.to_look_for(self._flow.clock.monotonic(), most=_AT_ONCE)
            found = await asyncio.gather(*map(self._look, due))
            if any(found):
                pause = first
                continue
            await self._flow.clock.sleep(pause)
            pause = min(pause * _PAUSE_FACTOR, longest)

    async def _look(self, request: OpenRequest) -> bool:
        """Whether the request is over now."""
        flow = self._flow
        try:
            result = await flow.source.look(request.request_id)
        except InvalidResultError as error:
            await flow.settle(request, Failure(DAMAGED, str(error)))
            return True
        except OutputStoreError as error:
            if not error.passes:
                flow.stop_with(error)
            flow.note = str(error)
            flow.open.look_again(request, flow.clock.monotonic())
            return False
        if result is None or (result.errors and not flow.source.errors_are_final):
            return await self._missed(request, result, flow.clock.monotonic())
        flow.open.settled(request)
        await flow.settle(request, failure_of(result.errors) if result.errors else result)
        return True

    async def _missed(
        self, request: OpenRequest, failed_attempt: AsyncPredictResult | None, now: float
    ) -> bool:
        """It is not there, or only what an inference attempt has left that another may follow."""
        flow = self._flow
        if request.over_since is not None and now - request.over_since >= flow.source.grace_seconds:
            lost = Failure(LOST, f"{request.lost_why} in {flow.source.name}")
            await flow.settle(request, failure_of(failed_attempt.errors) if failed_attempt else lost)
            return True
        if failed_attempt is not None and request.failed_attempt is None:
            request.failed_attempt = failed_attempt
            flow.open.ask_again(request, at=now)  # the platform knows whether it was the last attempt
        flow.open.look_again(request, now)
        return False
