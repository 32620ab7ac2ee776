"""Results that come to a receiver of the batch's own."""

from __future__ import annotations

import asyncio
import re
import secrets as random_secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from ...errors import WebhookReceiverError
from ...webhooks import WebhookReceiver
from ...workers import Caught

if TYPE_CHECKING:
    from concurrent.futures import Future

    from ...contract import AsyncPredictResult
    from ...webhooks import Delivery

# Less than the platform waits for the answer.
_PATIENCE_SECONDS: Final = 9.0
_NOT_NOW: Final = 503
_NOT_HERE: Final = 404


class TakesResults(Protocol):
    """Who a result is handed to; it is safe when that returns."""

    def __call__(self, result: AsyncPredictResult, *, submission: int) -> Awaitable[None]: ...


class ReceiverSource:
    """A webhook endpoint on this machine: what it answers 200 to is in the ledger.

    Each submission has a path of its own, with a key that nobody guesses: so the result finds its line also when the
    answer to the submission was lost, and nobody else's result is taken.
    """

    grace_seconds = 5.0
    errors_are_final = True
    is_pushed = True
    name = "the receiver of this batch"

    def __init__(self, *, key: str, port: int = 0, secrets: Sequence[str] = ()) -> None:
        self.key = key
        self._path = re.compile(rf"/{re.escape(key)}/(\d{{1,18}})", re.ASCII)
        self._secrets = secrets
        self._port = port
        self._receiver: WebhookReceiver | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._take: TakesResults | None = None

    @staticmethod
    def new_key() -> str:
        return random_secrets.token_urlsafe(16)

    @property
    def port(self) -> int:
        """Where it listens, once it has started."""
        return int(self._running().url.rpartition(":")[2])

    def endpoint_of(self, submission: int) -> str:
        """The webhook endpoint of one submission."""
        return f"{self._running().url}/{self.key}/{submission}"

    def start(self, take: TakesResults) -> None:
        """Listen, on the port of the last run if it is free: open requests have it in their webhook endpoint."""
        self._loop, self._take = asyncio.get_running_loop(), take
        for port in dict.fromkeys((self._port, 0)):
            receiver = WebhookReceiver(secrets=self._secrets, port=port, on_delivery=self._receive, keep=0)
            try:
                receiver.start()
            except WebhookReceiverError:
                if port == 0:
                    raise
                continue
            self._receiver = receiver
            return

    async def look(self, request_id: str) -> None:
        """Nothing: what comes is handed over at once."""

    async def close(self) -> None:
        """Answer what is being received, and end."""
        if self._receiver is not None:
            receiver, self._receiver, self._take = self._receiver, None, None
            await asyncio.to_thread(receiver.stop)

    def _receive(self, delivery: Delivery) -> int | None:
        if delivery.result is None:
            return None
        found = self._path.fullmatch(delivery.path)
        if found is None:
            return _NOT_HERE
        take, loop = self._take, self._loop
        if take is None or loop is None:
            return _NOT_NOW
        handing_over: Future[None] = asyncio.run_coroutine_threadsafe(
            _awaited(take, delivery.result, int(found[1])), loop
        )
        with Caught() as caught:
            handing_over.result(_PATIENCE_SECONDS)
        return None if caught.error is None else _NOT_NOW

    def _running(self) -> WebhookReceiver:
        if self._receiver is None:
            raise WebhookReceiverError("the receiver of the batch is not running")
        return self._receiver


async def _awaited(take: Callable[..., Awaitable[None]], result: AsyncPredictResult, submission: int) -> None:
    await take(result, submission=submission)
