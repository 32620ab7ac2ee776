"""One call of the model while it is worked on: what was asked, by whom, and whether somebody still waits."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.requests import Request

from ...contract.headers import CHAIN_REQUEST_ID, REQUEST_ID

if TYPE_CHECKING:
    from starlette.types import Message, Scope

    from ..protocol import ReplicaAnswer, ReplicaCall

PREDICT_ROUTE: Final = "v1/models/model:predict"

_REQUEST_ID: Final = REQUEST_ID.lower()
_CHAIN_REQUEST_ID: Final = CHAIN_REQUEST_ID.lower()


class Exchange:
    """A call and the answer that is awaited. Header names are in lower case."""

    __slots__ = ("_gone", "_request", "answered", "body", "call", "headers", "is_gone")

    def __init__(self, call: ReplicaCall, body: bytes, *, answered: asyncio.Future[ReplicaAnswer]) -> None:
        self.call = call
        self.body = body
        self.headers = {name.lower(): value for name, value in call.headers}
        self.answered = answered
        self.is_gone = False
        self._gone: asyncio.Event | None = None
        self._request: _HookRequest | None = None

    @property
    def route(self) -> str:
        """The path below the server's root, without its query."""
        return PREDICT_ROUTE if self.call.route is None else self.call.route.partition("?")[0]

    @property
    def request_id(self) -> str | None:
        return self.headers.get(_REQUEST_ID)

    @property
    def chain_request_id(self) -> str | None:
        return self.headers.get(_CHAIN_REQUEST_ID)

    @property
    def is_binary(self) -> bool:
        """Whether input and output are MessagePack."""
        media_type = self.headers.get("content-type", "").partition(";")[0]
        return media_type.strip().lower() == "application/octet-stream"

    @property
    def wants_stream_gathered(self) -> bool:
        """Whether a streamed output is to become one JSON string; OpenAI's client asks for JSON and means a stream."""
        is_openai = "openai" in self.headers.get("user-agent", "").lower()
        return self.headers.get("accept") == "application/json" and not is_openai

    def leave(self) -> None:
        """Nobody waits any more."""
        self.is_gone = True
        if self._gone is not None:
            self._gone.set()

    async def wait_gone(self) -> None:
        """Return once nobody waits any more."""
        if self._gone is None:
            self._gone = asyncio.Event()
        if not self.is_gone:
            await self._gone.wait()

    async def has_left(self) -> bool:
        """As the hooks are told: the plugin lets the request say otherwise while an output is not saved yet."""
        return self.is_gone if self._request is None else await self._request.is_disconnected()

    async def request(self) -> Request:
        """What hooks get that ask for the request; its body has been read, as in the server."""
        if self._request is None:
            self._request = _HookRequest(self)
            await self._request.body()
        return self._request

    def scope(self) -> Scope:
        """The call as an ASGI server tells of it."""
        path, _, query = (self.call.route or PREDICT_ROUTE).partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": self.call.method,
            "scheme": "http",
            "path": f"/{path}",
            "raw_path": f"/{path}".encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), value.encode()) for name, value in self.call.headers],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 80),
        }


class _HookRequest(Request):
    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.scope(), self._next_message)
        self._exchange = exchange
        self._is_body_sent = False
        self.state.watch_disconnect = self._watch_disconnect
        self._loop = asyncio.get_running_loop()

    async def is_disconnected(self) -> bool:
        return self._exchange.is_gone

    async def _next_message(self) -> Message:
        if self._is_body_sent:
            await self._exchange.wait_gone()
            return {"type": "http.disconnect"}
        self._is_body_sent = True
        return {"type": "http.request", "body": self._exchange.body, "more_body": False}

    @contextmanager
    def _watch_disconnect(self) -> Iterator[threading.Event]:
        """An event for threads, set when the caller leaves: the Truss server has it, too."""
        disconnected = threading.Event()

        async def watch() -> None:
            await self._exchange.wait_gone()
            disconnected.set()

        watching = asyncio.run_coroutine_threadsafe(watch(), self._loop)
        try:
            yield disconnected
        finally:
            watching.cancel()
