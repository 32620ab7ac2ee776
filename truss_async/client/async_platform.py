"""The platform's async operations for asyncio, and results as they come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.limits import SYNC_TIMEOUT_SECONDS
from ..contract.webhook_urls import is_loopback
from ..errors import RequestFailedError
from ..pasted import as_api_key
from ..timed_http import NoAnswerError
from .async_http import AsyncHttp
from .calls import (
    DEFAULT_TARGET,
    Call,
    answered,
    cancel_call,
    model_and_target,
    request_body,
    status_call,
    too_slow,
    unanswered,
)

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..contract import (
        AsyncPredictAccepted,
        AsyncPredictRequest,
        AsyncPredictResult,
        AsyncRequestStatus,
        CancelAnswer,
    )
    from ..contract.statuses import QueueStatus
    from ..stores import OutputStore
    from .batch.sources import ResultSource

T = TypeVar("T")


class AsyncPlatformClient:
    """As ``PlatformClient``, for one event loop; ``run`` and ``map`` need to know where results are.

    ``store`` is the output store that the model saves to, or its URL; ``inbox`` the folder of a ``listen --keep``, or the
    file of ``on_result``, whose receiver the ``webhook_endpoint`` of each request leads to; ``relay`` the URL of a
    ``listen --relay``, which hands each result over as it comes, and is the webhook endpoint unless another is given.
    ``relay_key`` is its ``--relay-key``.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        target: str = DEFAULT_TARGET,
        store: OutputStore | str | None = None,
        inbox: Path | str | None = None,
        relay: str | None = None,
        relay_key: str | None = None,
        timeout_seconds: float = 30,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.url, self._target = model_and_target(url, target=target)
        self._store, self._inbox = store, inbox
        self._relay, self._relay_key = relay, relay_key
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._known_source: ResultSource | None = None
        self._http = AsyncHttp(
            headers={"Authorization": f"Api-Key {as_api_key(api_key)}"},
            timeout_seconds=timeout_seconds,
            trust_env=not is_loopback(urlsplit(self.url).hostname or ""),  # no proxy leads to this machine
        )

    async def close(self) -> None:
        """Close the connections. Twice is harmless."""
        if self._known_source is not None:
            source, self._known_source = self._known_source, None
            await source.close()
        await self._http.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def submit(
        self, request: AsyncPredictRequest | None = None, /, **fields: Any
    ) -> AsyncPredictAccepted:
        """Enqueue an async request, given whole or by its fields (``model_input=…, priority=…``).

        A request is submitted once: an answer that never came is an ``UnansweredError``, not a second submission.
        """
        return await self._send(self._target.submit(request, fields))

    async def submit_body(self, body: str | bytes) -> AsyncPredictAccepted:
        """The same for a request that is JSON already."""
        return await self._send(self._target.submit_body(body))

    async def predict(self, model_input: Any, *, timeout_seconds: float = SYNC_TIMEOUT_SECONDS) -> Any:
        """The model's output, called synchronously: JSON as its value, text as text, anything else as bytes."""
        return await self._send(self._target.predict(model_input), timeout_seconds=timeout_seconds)

    async def wake(self) -> None:
        """Have a model that was scaled to zero load; returns at once."""
        await self._send(self._target.wake())

    async def queue_status(self) -> QueueStatus:
        """How many async requests of the target wait, and how many are being worked on."""
        return await self._send(self._target.queue_status())

    async def status(self, request_id: str) -> AsyncRequestStatus:
        """Where the request stands; gone an hour after it was completed."""
        return await self._send(status_call(request_id))

    async def cancel(self, request_id: str) -> CancelAnswer:
        """Withdraw a request that is still queued; the answer says when it is too late."""
        return await self._send(cancel_call(request_id))

    async def run(self, model_input: Any, **fields: Any) -> AsyncPredictResult:
        """Submit one request, and return its result as soon as it is there.

        Raises:
            RequestFailedError: it failed, expired, was canceled, or its result is lost; ``result`` says why.
            ApiError: it was not accepted.
        """
        from .batch.streaming import result_of

        source = await self._source()
        accepted = await self.submit(model_input=model_input, **{**self._defaults, **fields})
        result = await result_of(accepted.request_id, self, source, clock=self._clock)
        if result.errors:
            first = result.errors[0]
            raise RequestFailedError(
                f"request {accepted.request_id} failed: {first.code}: {first.message}", result=result
            )
        return result

    async def map(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any],
        *,
        max_open: int = 1000,
        attempts: int = 3,
        **fields: Any,
    ) -> AsyncIterator[tuple[int, AsyncPredictResult]]:
        """Submit each model input, and yield its number, from 0, and its result, as they come.

        At most ``max_open`` are open, or drawn from the inputs, at once. A request that fails is submitted again where
        that may help, ``attempts`` times in all; then its result has errors. Nothing survives the process: see ``Batch``
        for what does.

        Raises:
            ApiError: the key is refused, or there is no such model.
        """
        from .batch.streaming import Stream

        source, fields = await self._source(), {**self._defaults, **fields}
        bodies = (request_body(None, {"model_input": each, **fields}) async for each in _each(inputs))
        stream = Stream(self, source, max_open=max_open, attempts=attempts, clock=self._clock)
        async for number, result in stream.results(bodies):
            yield number, result

    @property
    def _defaults(self) -> dict[str, Any]:
        """Fields of each request that are not given: the relay receives webhooks at every path."""
        return {} if self._relay is None else {"webhook_endpoint": self._relay}

    async def _source(self) -> ResultSource:
        from .batch.relay import RelaySource
        from .batch.sources import source_of

        if self._known_source is None:
            relay = None
            if self._relay is not None:
                relay = RelaySource(self._relay, key=self._relay_key, clock=self._clock)
            self._known_source = source_of(
                store=self._store, inbox=self._inbox, relay=relay, since=self._clock.now()
            )
        if isinstance(self._known_source, RelaySource):
            await self._known_source.check()
        return self._known_source

    async def _send(self, call: Call[T], *, timeout_seconds: float | None = None) -> T:
        url = self.url + call.path
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            answer = await self._http.send(
                call.method, url, content=call.content, headers=call.headers, timeout_seconds=seconds
            )
        except TimeoutError:
            raise too_slow(self.url, seconds=seconds) from None
        except NoAnswerError as error:
            raise unanswered(self.url, error) from None
        return answered(call, answer, url=url, clock=self._clock)


async def _each(inputs: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    if isinstance(inputs, AsyncIterable):
        async for each in inputs:
            yield each
        return
    for each in inputs:
        yield each
