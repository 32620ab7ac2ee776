"""What has become of requests: of each, whether its result is there, and what to do if it is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final, Literal

from ..clock import SYSTEM_CLOCK, Clock
from ..contract import WebhookStatus
from ..errors import ApiError, ApiKeyRefusedError, InvalidResultError, RateLimitedError
from .batch.asking import status_pace
from .batch.verdicts import Over, failure_of, meaning

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult, AsyncRequestStatus
    from .async_platform import AsyncPlatformClient
    from .batch.sources import ResultSource
    from .batch.verdicts import Failure

State = Literal["result", "failed", "lost", "open"]
_AT_ONCE: Final = 32
_MOST_FAILURES: Final = 5


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Where a request stands: its result is there, it failed, its result is lost, or it is still open; and what to do."""

    request_id: str
    state: State
    hint: str = ""


class StatusCalls:
    """Asks for statuses as fast as the platform lets, and no faster; ``status`` is None of what it does not know (any more).

    A call over the limit, or that nobody answers, is made again, a few times.
    """

    def __init__(self, client: AsyncPlatformClient, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self._client = client
        self._clock = clock
        self._pace = status_pace()

    async def status(self, request_id: str) -> AsyncRequestStatus | None:
        """Where it stands.

        Raises:
            ApiError: the key is refused, or there is nobody who answers.
        """
        failures = 0
        while True:
            while (wait := self._pace.reserve(self._clock.monotonic())) > 0:
                await self._clock.sleep(wait)
            try:
                status = await self._client.status(request_id)
            except ApiError as error:
                if error.status_code == 404:
                    self._pace.answered()
                    return None
                failures += not isinstance(error, RateLimitedError)
                if isinstance(error, ApiKeyRefusedError) or failures >= _MOST_FAILURES:
                    raise
                self._put_off(error)
            else:
                self._pace.answered()
                return status

    def _put_off(self, error: ApiError) -> None:
        now = self._clock.monotonic()
        if isinstance(error, RateLimitedError):
            self._pace.refused(now, error.retry_after)
        else:
            self._pace.failed(now, error.retry_after)


async def reconcile(
    request_ids: Iterable[str], client: AsyncPlatformClient, *, sources: Sequence[ResultSource] = ()
) -> AsyncIterator[Reconciled]:
    """Say of each, in their order: first its result is looked for, and only of what has none the status is asked for.

    Raises:
        ApiError: the key is refused, or nobody answers.
        OutputStoreError: a source cannot be read.
    """
    reconciler = _Reconciler(StatusCalls(client), sources)
    left = iter(request_ids)
    while some := list(islice(left, _AT_ONCE)):
        for found in await asyncio.gather(*map(reconciler.reconcile, some)):
            yield found


class _Reconciler:
    def __init__(self, statuses: StatusCalls, sources: Sequence[ResultSource]) -> None:
        self._statuses = statuses
        self._sources = sources

    async def reconcile(self, request_id: str) -> Reconciled:
        found = await self._found(request_id)
        if found is not None:
            return found
        status = await self._statuses.status(request_id)
        means = meaning(status)
        if means is None:
            waits = "" if status is None else status.status.value
            return Reconciled(request_id, "open", f"it is {waits}: try again later")
        if not isinstance(means, Over):
            return Reconciled(request_id, "failed", _advice(means))
        # It may have come since it was looked for.
        return await self._found(request_id, is_over=True) or Reconciled(
            request_id, "lost", f"{means.why}; {_remedy(status)}"
        )

    async def _found(self, request_id: str, *, is_over: bool = False) -> Reconciled | None:
        for source in self._sources:
            try:
                result = await source.look(request_id)
            except InvalidResultError as error:
                return Reconciled(request_id, "lost", f"{error}; submit it again")
            if result is not None and (is_over or not result.errors or source.errors_are_final):
                return _of_result(request_id, result, source)
        return None


def _of_result(request_id: str, result: AsyncPredictResult, source: ResultSource) -> Reconciled:
    if result.errors:
        return Reconciled(request_id, "failed", _advice(failure_of(result.errors)))
    return Reconciled(request_id, "result", f"in {source.name}")


def _advice(failure: Failure) -> str:
    message = failure.message.strip().splitlines()
    return f"{failure.code}: {message[-1] if message else ''}; fix that, then submit it again"


def _remedy(status: AsyncRequestStatus | None) -> str:
    if status is None:
        return "submit it again"
    if status.webhook_status is WebhookStatus.FAILED:
        return "redeliver it from the store, or submit it again"
    if status.webhook_status is WebhookStatus.NO_WEBHOOK_PROVIDED:
        return "check the output store (--store), or submit it again with a webhook endpoint"
    return "check the inbox of its webhook endpoint (--inbox), or submit it again"
