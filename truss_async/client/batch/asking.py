"""Asking the platform where a request stands whose result does not come."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from ...contract.limits import OLDER_STATUS_CALLS_PER_SECOND, STATUS_CALLS_PER_SECOND
from ...errors import ApiError, ApiKeyRefusedError, RateLimitedError
from .pace import Pace
from .verdicts import LOST, Failure, Over, meaning

if TYPE_CHECKING:
    from ...contract import AsyncRequestStatus
    from .flow import Flow
    from .open_requests import OpenRequest

_AT_ONCE: Final = 4
_IDLE_SECONDS: Final = 0.25
_PAUSE_FACTOR: Final = 1.6
_LONGEST_PAUSE_SECONDS: Final = 60.0
# Others ask, too.
_SHARE: Final = 0.8


def status_pace() -> Pace:
    """Of status calls: from what the platform once allowed to what it allows now, less a share for others."""
    return Pace(limit=STATUS_CALLS_PER_SECOND * _SHARE, start=OLDER_STATUS_CALLS_PER_SECOND * _SHARE)


class Asker:
    """The oldest first, and only of what younger ones have overtaken, or what came to nobody; or when nothing comes at all."""

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self._pace = status_pace()
        self._quiet_until = 0.0
        self._quiet_asks = 0

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """What is to run at the same time."""
        return [self._run() for _ in range(_AT_ONCE)]

    async def _run(self) -> None:
        while True:
            pause = await self._turn(self._flow.clock.monotonic())
            if pause > 0:
                await self._flow.clock.sleep(pause)

    async def _turn(self, now: float) -> float:
        """Ask about one, if any is to be asked about; the seconds after which to look for another."""
        flow, patience = self._flow, self._flow.options.patience
        is_silent = now - flow.last_settled_at >= patience.silence and now >= self._quiet_until
        request = flow.open.to_ask_about(now, is_silent=is_silent)
        if request is None:
            return _IDLE_SECONDS
        is_known = request.failed_attempt is not None or request.over_since is not None
        if not (request.is_hole or is_known or is_silent or flow.open.is_unwatched(request)):
            request.is_hole = True
            flow.open.ask_again(request, at=now + patience.hole)
            return 0.0
        if (wait := self._pace.reserve(now)) > 0:
            flow.open.ask_again(request, at=now)
            return wait
        if is_silent:  # one at a time: if the oldest still waits, the others do
            self._quiet_until = now + patience.silence
        await self._ask(request, is_silent=is_silent)
        return 0.0

    async def _ask(self, request: OpenRequest, *, is_silent: bool) -> None:
        flow = self._flow
        try:
            status = await self._status(request.request_id)
        except ApiError as error:
            now = flow.clock.monotonic()
            self._note(error, now)
            flow.open.ask_again(request, at=now + _IDLE_SECONDS)
            return
        self._pace.answered()
        request.asks += 1
        now = flow.clock.monotonic()
        means = meaning(status)
        if means is None:
            if flow.open.is_unwatched(request):
                flow.open.still_comes()
            pause = flow.options.patience.hole * _PAUSE_FACTOR ** min(request.asks, 10)
            flow.open.ask_again(request, at=now + min(pause, _LONGEST_PAUSE_SECONDS))
        else:
            if is_silent:
                self._quiet_until = 0.0
            await self._ended(request, means, now)

    async def _status(self, request_id: str) -> AsyncRequestStatus | None:
        """None: it has gone."""
        try:
            return await self._flow.client.status(request_id)
        except ApiError as error:
            if error.status_code == 404:
                return None
            raise

    def _note(self, error: ApiError, now: float) -> None:
        if isinstance(error, ApiKeyRefusedError):
            self._flow.stop_with(error)
        elif isinstance(error, RateLimitedError):
            self._pace.refused(now, error.retry_after)
        else:
            self._pace.failed(now, error.retry_after)

    async def _ended(self, request: OpenRequest, means: Failure | Over, now: float) -> None:
        flow = self._flow
        if isinstance(means, Failure):
            await flow.settle(request, means)
            return
        is_first = request.over_since is None
        request.over_since = now if request.over_since is None else request.over_since
        request.lost_why = means.why
        grace = flow.source.grace_seconds
        if flow.source.is_pushed and (means.is_certain or now - request.over_since >= grace):
            await flow.settle(request, Failure(LOST, means.why))
            return
        if is_first and not flow.source.is_pushed:
            flow.open.look_again(request, now, soon=True)
        flow.open.ask_again(request, at=now + grace)
