"""Doubles that answer when the test says so, in the order that it says: every interleaving can be made on purpose."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from truss_async.harness.request_queue import RequestQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from yarl import URL

    from truss_async.replicas.protocol import ReplicaCall

ROUNDS = 30
"""More than the links of the longest chain of callbacks from an answer to the next question."""


async def settle() -> None:
    """Let every task that can go on do so."""
    for _ in range(ROUNDS):
        await asyncio.sleep(0)


@dataclass(eq=False)
class Call:
    """Waits for its answer. ``said`` are its arguments by their names."""

    name: str
    said: dict[str, Any]
    _answer: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def answered(self) -> Any:
        return await self._answer

    def answer(self, value: Any = None) -> None:
        self._answer.set_result(value)

    def fail(self, error: BaseException) -> None:
        self._answer.set_exception(error)

    @property
    def is_called_off(self) -> bool:
        return self._answer.cancelled()


class Script:
    """Whoever calls waits; the test takes the calls, and answers them."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self.may_leave = asyncio.Event()
        """Until this is set, no caller leaves, whether it has its answer or was called off."""
        self.may_leave.set()

    async def call_of(self, name: str, said: dict[str, Any]) -> Any:
        call = Call(name, said)
        self._calls.append(call)
        try:
            return await call.answered()
        finally:
            await self.may_leave.wait()

    @property
    def open(self) -> list[str]:
        """The names of the calls that the test has not taken."""
        return [call.name for call in self._calls if not call.is_called_off]

    async def takes(self, name: str, **meanwhile: Any) -> Call:
        """The first open call of that name, once all those in ``meanwhile`` have their answers."""
        await settle()
        while other := next(filter(None, map(self._first, meanwhile.keys() - {name})), None):
            other.answer(meanwhile[other.name])
            await settle()
        call = self._first(name)
        assert call is not None, f"nobody called {name}, but {self.open or 'nothing'}"
        return call

    async def takes_all(self, name: str) -> list[Call]:
        await settle()
        return [await self.takes(name) for _ in range(self.open.count(name))]

    def _first(self, name: str) -> Call | None:
        for call in self._calls:
            if call.name == name and not call.is_called_off:
                self._calls.remove(call)
                return call
        return None


class ScriptedQueue(Script):
    """A request queue that knows nothing by itself; it takes the calls that a queue takes, and no others."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        signature = inspect.signature(getattr(RequestQueue, name))

        async def method(*args: Any, **kwargs: Any) -> Any:
            said = signature.bind(self, *args, **kwargs).arguments
            del said["self"]
            return await self.call_of(name, said)

        return method


class ScriptedReplica(Script):
    name = "replica-1"

    async def call(self, call: ReplicaCall) -> Any:
        return await self.call_of("call", {"headers": dict(call.headers), "body": call.body})


class ScriptedPool:
    """So many slots, all of one replica; each that is taken must be given back once."""

    def __init__(self, replica: ScriptedReplica, *, free: int, on_capacity: Callable[[], None]) -> None:
        self.free = free
        self.taken = 0
        self.looks = 0
        self.demand_changed = asyncio.Event()
        self._replica = replica
        self._on_capacity = on_capacity

    def try_acquire(self) -> ScriptedReplica | None:
        self.looks += 1
        if self.free == 0:
            return None
        self.free -= 1
        self.taken += 1
        return self._replica

    def release(self, replica: ScriptedReplica, *, was_used: bool = True) -> None:
        assert replica is self._replica
        assert self.taken > 0, "a slot was given back more often than taken"
        self.taken -= 1
        self.gain(1, tell=was_used)

    def gain(self, count: int, *, tell: bool = True) -> None:
        self.free += count
        if tell:
            self._on_capacity()


@dataclass(eq=False)
class ScriptedAnswer:
    """What a model answers; reading its body raises the error, if there is one."""

    status: int = 200
    body: bytes = b'{"a":1}'
    content_type: str = "application/json"
    has_length: bool = True
    error: Exception | None = None
    is_read: bool = False
    is_closed: bool = False

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        length = [(b"Content-Length", str(len(self.body)).encode())] if self.has_length else []
        return [(b"Content-Type", self.content_type.encode()), *length]

    async def read(self) -> bytes:
        self.is_read = True
        if self.error is not None:
            raise self.error
        return self.body

    def close(self) -> None:
        self.is_closed = True


class ScriptedEndpoints(Script):
    """All webhook endpoints, behind the HTTP session that calls them; the answer is the status."""

    @asynccontextmanager
    async def post(self, url: URL, **options: Any) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(status=await self.call_of("post", {"url": str(url), **options}))
