"""The platform's async operations, for callers: the same against Baseten and against a harness."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from ..clock import SYSTEM_CLOCK, Clock
from ..contract import (
    AsyncPredictAccepted,
    AsyncPredictRequest,
    AsyncRequestStatus,
    CancelAnswer,
    WebhookStatus,
)
from ..contract.limits import SYNC_TIMEOUT_SECONDS
from ..contract.webhook_urls import is_loopback
from ..errors import ApiError
from ..pasted import as_api_key
from ..timed_http import NoAnswerError, TimedHttp
from .calls import (
    DEFAULT_TARGET,
    PASSING_STATUSES,
    Call,
    answered,
    cancel_call,
    model_and_target,
    reading,
    status_call,
    too_slow,
    unanswered,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

    from ..contract import AsyncPredictResult
    from ..contract.statuses import QueueStatus
    from ..stores import OutputStore
    from .batch.blocking import BlockingClient

T = TypeVar("T")
Parsed = TypeVar("Parsed", bound=BaseModel)

_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 2.0
_POLL_FACTOR = 1.5


class PlatformClient:
    """Calls one model. ``url`` is ``https://model-ID.api.baseten.co`` or a harness's ``http://127.0.0.1:8090``.

    Or one chain, at ``https://chain-ID.api.baseten.co`` or a harness's ``http://127.0.0.1:8090/chain/ID``.

    The URL of an endpoint, with ``/production/async_predict`` at its end, say, is understood, too.
    ``target`` is ``production``, ``development``, ``environments/ENV``, ``deployment/ID``, or nothing on a regional
    host. Everything that goes wrong is an ``ApiError`` of one line.

    ``run`` and ``map`` need to know where results are: ``store`` is the output store that the model saves to, or its URL;
    ``inbox`` the folder of a ``listen --keep``, or the file of ``on_result``, whose receiver the ``webhook_endpoint`` of
    each request leads to; ``relay`` and ``relay_key`` the URL and the key of a ``listen --relay``. They work on an event loop in a thread of its own; ``AsyncPlatformClient`` is the same for those who
    have one.
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
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._http = TimedHttp(
            purpose="calling the platform",
            headers={"Authorization": f"Api-Key {as_api_key(api_key)}"},
            timeout_seconds=timeout_seconds,
            trust_env=not is_loopback(urlsplit(self.url).hostname or ""),  # no proxy leads to this machine
        )
        self._asyncio_options: dict[str, Any] = {
            "api_key": api_key,
            "target": target,
            "store": store,
            "inbox": inbox,
            "relay": relay,
            "relay_key": relay_key,
            "timeout_seconds": timeout_seconds,
            "clock": clock,
        }
        self._opening = threading.Lock()
        self._blocking: BlockingClient | None = None

    def close(self) -> None:
        """Close the connections. Twice is harmless."""
        self._http.close()
        with self._opening:
            blocking, self._blocking = self._blocking, None
        if blocking is not None:
            blocking.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def submit(self, request: AsyncPredictRequest | None = None, /, **fields: Any) -> AsyncPredictAccepted:
        """Enqueue an async request, given whole or by its fields (``model_input=…, priority=…``).

        A request is submitted once: an answer that never came is an ``UnansweredError``, not a second submission.
        """
        return self._send(self._target.submit(request, fields))

    def predict(self, model_input: Any, *, timeout_seconds: float = SYNC_TIMEOUT_SECONDS) -> Any:
        """The model's output, called synchronously: JSON as its value, text as text, anything else as bytes."""
        return self._send(self._target.predict(model_input), timeout_seconds=timeout_seconds)

    def run(self, model_input: Any, **fields: Any) -> AsyncPredictResult:
        """Submit one request, and return its result as soon as it is there.

        Raises:
            RequestFailedError: it failed, expired, was canceled, or its result is lost; ``result`` says why.
            ApiError: it was not accepted.
        """
        return self._engine().run(model_input, fields)

    def map(
        self, inputs: Iterable[Any], *, max_open: int = 1000, attempts: int = 3, **fields: Any
    ) -> Iterator[tuple[int, AsyncPredictResult]]:
        """Submit each model input, and yield its number, from 0, and its result, as they come.

        At most ``max_open`` are open, or drawn from the inputs, at once. A request that fails is submitted again where
        that may help, ``attempts`` times in all; then its result has errors. Nothing survives the process: see ``Batch``
        for what does.

        Raises:
            ApiError: the key is refused, or there is no such model.
        """
        return self._engine().map(inputs, max_open=max_open, attempts=attempts, fields=fields)

    def wake(self) -> None:
        """Have a model that was scaled to zero load; returns at once."""
        self._send(self._target.wake())

    def queue_status(self) -> QueueStatus:
        """How many async requests of the target wait, and how many are being worked on."""
        return self._send(self._target.queue_status())

    def status(self, request_id: str) -> AsyncRequestStatus:
        """Where the request stands; gone an hour after it was completed."""
        return self._send(status_call(request_id))

    def cancel(self, request_id: str) -> CancelAnswer:
        """Withdraw a request that is still queued; the answer says when it is too late."""
        return self._send(cancel_call(request_id))

    def wait(
        self,
        request_id: str,
        *,
        timeout_seconds: float | None = None,
        on_status: Callable[[AsyncRequestStatus], None] = lambda _: None,
    ) -> AsyncRequestStatus:
        """The status once nothing more will happen: inference is over, and so is the delivery of the result.

        ``on_status`` is shown each status before that one.

        Polls with growing pauses, through rate limits and short outages; ``ApiError`` when the time is up.
        """
        deadline = None
        if timeout_seconds is not None:
            deadline = self._clock.monotonic() + timeout_seconds
        pause = _FIRST_POLL_SECONDS
        while True:
            last = self._status_if_reachable(request_id)
            if last is not None and last.status.is_final and last.webhook_status is not WebhookStatus.PENDING:
                return last
            if last is not None:
                on_status(last)
            if deadline is not None and self._clock.monotonic() >= deadline:
                known = last.status.value if last is not None else "unknown: no answer"
                raise ApiError(f"request {request_id} is still {known} after {timeout_seconds:g} s")
            self._clock.block(pause)
            pause = min(pause * _POLL_FACTOR, _LONGEST_POLL_SECONDS)

    def _engine(self) -> BlockingClient:
        from .async_platform import AsyncPlatformClient
        from .batch.blocking import BlockingClient

        with self._opening:
            if self._blocking is None:
                self._blocking = BlockingClient(
                    partial(AsyncPlatformClient, self.url, **self._asyncio_options)
                )
            return self._blocking

    def _status_if_reachable(self, request_id: str) -> AsyncRequestStatus | None:
        try:
            return self.status(request_id)
        except ApiError as error:
            if error.status_code in PASSING_STATUSES:
                return None
            raise

    def _call(
        self, method: str, path: str, answer_type: type[Parsed], *, content: str | None = None
    ) -> Parsed:
        return self._send(Call(method, path, reading(answer_type), content))

    def _send(self, call: Call[T], *, timeout_seconds: float | None = None) -> T:
        url = self.url + call.path
        seconds = self._timeout_seconds if timeout_seconds is None else timeout_seconds
        try:
            answer = self._http.send(
                call.method, url, content=call.content, headers=call.headers, timeout_seconds=seconds
            )
        except TimeoutError:
            raise too_slow(self.url, seconds=seconds) from None
        except NoAnswerError as error:
            raise unanswered(self.url, error) from None
        return answered(call, answer, url=url, clock=self._clock)
