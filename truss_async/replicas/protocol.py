"""What the pool expects of a replica: one loaded copy of the model, which can be called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, runtime_checkable

from ..errors import HarnessError

if TYPE_CHECKING:
    from .sockets import ReplicaSocket, SocketCall

WITHOUT_BODY: Final = frozenset({204, 304})
"""Statuses of answers that have none, and need not tell how large it is."""


class ReplicaLoadError(HarnessError):
    """The model did not load. The message is one line; ``traceback`` is the model's own, if it left one."""

    def __init__(self, message: str, *, traceback: str | None = None) -> None:
        super().__init__(message)
        self.traceback = traceback


class UnservableError(HarnessError):
    """What is asked for cannot be served, and neither time nor an edit of the model changes that."""


class ReplicaUnreachableError(HarnessError):
    """The model server did not answer: the connection was refused, reset, or broke off in the answer.

    ``was_asked``: it may have begun to work on what it was asked.
    """

    def __init__(self, message: str, *, was_asked: bool = True) -> None:
        super().__init__(message)
        self.was_asked = was_asked


class ReplicaCall(NamedTuple):
    """What a replica is asked: to predict, or at ``route``, a path below its root with its query, as it was sent."""

    headers: Sequence[tuple[str, str]]
    body: bytes | AsyncIterator[bytes] | None
    method: str = "POST"
    route: str | None = None


class ReplicaAnswer(Protocol):
    """What a replica answers; the body may still be coming in, and raises ReplicaUnreachableError where it breaks off."""

    @property
    def status(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        """As they were sent."""

    async def read(self) -> bytes:
        """The whole body."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, part by part, as it comes in."""

    def close(self) -> None:
        """Let go of it, whether it was read or not. Harmless when done twice."""


Ask = Callable[[ReplicaCall], Awaitable[ReplicaAnswer]]
"""``replica.call``, or what stands in its place."""


class Replica(Protocol):
    """One copy of the model. Started and stopped many times in its life, one after the other."""

    @property
    def name(self) -> str:
        """``replica-1``, ``replica-2``, …"""

    async def call(self, call: ReplicaCall) -> ReplicaAnswer:
        """Ask it, once it is started; raise ReplicaUnreachableError when no answer comes."""

    async def connect(self, call: SocketCall) -> ReplicaSocket:
        """Open a websocket to it, once it is started; raise SocketRefusedError or ReplicaUnreachableError when none opens."""

    async def start(self) -> None:
        """Return when the model is loaded; raise HarnessError (ReplicaLoadError: its own fault) when not."""

    async def stop(self) -> None:
        """Leave no process behind. Harmless when nothing runs, and when called twice."""

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        """Return, in one line, why a started replica is gone, or to be replaced, as soon as it is.

        ``on_traffic`` is told when it is to get no requests for a while, and when it is to get them again.
        """


@runtime_checkable
class TellsWhyItWaits(Protocol):
    """A replica whose start may wait for somebody else, for however long."""

    @property
    def waits_for(self) -> str | None:
        """In one line, why it is not started yet; None: it is, or there is nothing to tell."""
