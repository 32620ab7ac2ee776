"""What the harness expects of a websocket, on either side of it: messages one after the other, and how it was closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ..errors import HarnessError

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
LOST: Final = 1006
INTERNAL_ERROR: Final = 1011
"""Codes of RFC 6455. Of these, NO_STATUS and LOST are told, and never sent."""
_SENDABLE: Final = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_OF_APPLICATIONS: Final = range(3000, 5000)
_MAX_REASON_BYTES: Final = 123


class SocketRefusedError(HarnessError):
    """The model server does not open a websocket: it answers ``status``."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class SocketLostError(HarnessError):
    """What was to be sent cannot be: the websocket is closed, or lost. Who receives from it is told how."""


@dataclass(frozen=True, slots=True)
class SocketCall:
    """With what a replica is asked for a websocket: its own, or that at ``route``, a path below its root."""

    headers: Sequence[tuple[str, str]]
    subprotocols: Sequence[str] = ()
    query: str = ""
    route: str | None = None


@dataclass(frozen=True, slots=True)
class SocketClosed:
    """That a side has closed, or with LOST, is gone without doing so."""

    code: int
    reason: str = ""

    def sendable(self) -> SocketClosed:
        """The same as it may be said to the other side: some codes are never sent, and a reason is 123 bytes at most."""
        reason = self.reason.encode()[:_MAX_REASON_BYTES].decode(errors="ignore")
        if self.code in _SENDABLE or self.code in _OF_APPLICATIONS:
            return SocketClosed(self.code, reason)
        return SocketClosed(GOING_AWAY if self.code == LOST else NORMAL, reason)


class ReplicaSocket(Protocol):
    """A websocket that is open; one task receives from it, another sends."""

    @property
    def subprotocol(self) -> str | None:
        """The one that was agreed on."""

    async def receive(self) -> str | bytes | SocketClosed:
        """The next message, or, as the last, how it was closed."""

    async def send(self, message: str | bytes) -> None:
        """Return once there is room for more; raise SocketLostError when it cannot be sent."""

    async def close(self, closed: SocketClosed) -> None:
        """Say so to the other side, if that is still possible, and let go. Nobody may receive meanwhile, nor after."""
