"""Calls of a replica while faults are set: each is struck by one of them, or goes through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from pydantic_core import to_json

from ...contract.faults import FaultKind
from ...replicas.protocol import ReplicaUnreachableError
from .decisions import Occasion

if TYPE_CHECKING:
    from ...contract.faults import FaultRule
    from ...replicas.protocol import Ask, Replica, ReplicaAnswer, ReplicaCall
    from .rules import Faults
    from .store_faults import StoreGates

_STATUSES: Final = {
    FaultKind.MODEL_500: 500,
    FaultKind.MODEL_503: 503,
    FaultKind.MODEL_504: 504,
    FaultKind.MODEL_429: 429,
}
_OF_MODEL: Final = frozenset({*_STATUSES, FaultKind.MODEL_CRASH, FaultKind.MODEL_HANG})
_OF_MODEL_OR_STORE: Final = _OF_MODEL | {FaultKind.STORE_UNREACHABLE, FaultKind.STORE_FORBIDDEN}


@runtime_checkable
class Crashable(Protocol):
    """A replica that has a process."""

    async def crash(self, reason: str) -> None:
        """Kill the process as it stands, for what ``reason`` says of it; return when it is gone, and nobody calls it any more."""


class FaultyCalls:
    """Stands between the callers of one deployment and its replicas, once a fault was set."""

    def __init__(self, deployment_id: str, *, faults: Faults, gates: StoreGates) -> None:
        self._deployment_id = deployment_id
        self._faults = faults
        self._gates = gates

    @property
    def are_armed(self) -> bool:
        """Whether calls must go through here."""
        return self._faults.is_armed

    async def of_request(
        self,
        replica: Replica,
        request_id: str,
        *,
        order: int,
        attempt: int,
        hang: Callable[[], Awaitable[object]],
    ) -> Ask:
        """How to ask the replica in this inference attempt.

        Raises:
            TimeoutError: the model hangs; ``hang`` has waited for as long as it may.
        """
        return await self._ask(replica, Occasion(request_id, self._deployment_id, order, attempt), hang)

    def next_sync_call(self) -> int:
        """The number of a sync call in their order."""
        return self._faults.next_sync_call()

    async def of_sync_call(self, replica: Replica, request_id: str, *, order: int, attempt: int) -> Ask:
        """How to ask the replica in a sync call; while the model hangs, until it is cancelled, this does not return."""
        occasion = Occasion(request_id, self._deployment_id, order, attempt, is_sync=True)
        return await self._ask(replica, occasion, asyncio.Event().wait)

    async def _ask(self, replica: Replica, occasion: Occasion, hang: Callable[[], Awaitable[object]]) -> Ask:
        kinds = _OF_MODEL_OR_STORE if self._gates.has_gate(self._deployment_id) else _OF_MODEL
        rule = self._faults.strike(occasion, kinds)
        if rule is None:
            return replica.call
        if rule.kind is FaultKind.MODEL_HANG:
            await hang()
            raise TimeoutError(f"fault: {rule.kind.value}")
        return lambda call: self._struck(replica, call, occasion, rule)

    async def _struck(
        self, replica: Replica, call: ReplicaCall, occasion: Occasion, rule: FaultRule
    ) -> ReplicaAnswer:
        if (status := _STATUSES.get(rule.kind)) is not None:
            return _MadeUpAnswer(status, to_json({"error": f"fault: {rule.kind.value}"}))
        if rule.kind is FaultKind.MODEL_CRASH:
            await _break_off(replica, call, after_seconds=rule.length_seconds)
            raise ReplicaUnreachableError(f"fault: {rule.kind.value}")
        with self._gates.shut(occasion.request_id, rule.kind):
            return await replica.call(call)


async def _break_off(replica: Replica, call: ReplicaCall, *, after_seconds: float) -> None:
    """Call the replica, and crash it in the middle; one without a process is hung up on. In real time."""
    answering = asyncio.ensure_future(replica.call(call))
    try:
        await asyncio.wait([answering], timeout=after_seconds)
        if isinstance(replica, Crashable):
            await replica.crash("was crashed by a fault")
    finally:
        answering.cancel()
        await asyncio.wait([answering])
        if not answering.cancelled() and answering.exception() is None:
            answering.result().close()


@dataclass(frozen=True, slots=True)
class _MadeUpAnswer:
    """An answer that no model gave."""

    status: int
    body: bytes

    @property
    def headers(self) -> Sequence[tuple[bytes, bytes]]:
        length = str(len(self.body)).encode()
        return ((b"content-type", b"application/json"), (b"content-length", length))

    async def read(self) -> bytes:
        return self.body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.body

    def close(self) -> None:
        """There is nothing to let go of."""
