"""Keeps replicas alive, and shares out their concurrency slots: sync calls first, async requests after."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final, Literal

from ...errors import HarnessError
from .protocol import ReplicaLoadError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ...clock import Clock
    from .protocol import Replica

__all__ = ["PoolState", "ReplicaPool", "restart_delay"]

PoolState = Literal["starting", "ready", "failed"]

MAX_RESTART_DELAY_SECONDS: Final = 30.0
STABLE_AFTER_SECONDS: Final = 60.0
"""A replica that served this long starts its backoff afresh when it exits."""


def restart_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4, … 30."""
    return float(min(2 ** min(failures - 1, 10), MAX_RESTART_DELAY_SECONDS))


class ReplicaPool:
    """Restarts replicas that exit or do not load, with backoff, for as long as it runs.

    ``report`` gets a line at each transition; ``on_capacity`` is called when a slot may have become free
    for async requests. Everything happens on the event loop that called ``start``.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        concurrency: int,
        clock: Clock,
        report: Callable[[str], None],
        on_capacity: Callable[[], None],
    ) -> None:
        self._replicas = tuple(replicas)
        self._concurrency = concurrency
        self._clock = clock
        self._report = report
        self._on_capacity = on_capacity
        self._ready: set[Replica] = set()
        # Slots outlive a restart: whoever called the replica that died still holds one, and gives it back.
        self._taken: dict[Replica, int] = dict.fromkeys(self._replicas, 0)
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._supervisors: list[asyncio.Task[None]] = []
        self._failing = False
        self._last_error: str | None = None
        self._last_traceback: str | None = None
        self._stopped = False

    @property
    def state(self) -> PoolState:
        if self._ready:
            return "ready"
        return "failed" if self._failing else "starting"

    @property
    def last_error(self) -> str | None:
        """Why a replica last failed to load or went away; None once all is well again."""
        return self._last_error

    @property
    def ready_count(self) -> int:
        return len(self._ready)

    @property
    def starting_count(self) -> int:
        return len(self._replicas) - len(self._ready)

    @property
    def taken_slots(self) -> int:
        return sum(self._taken.values())

    @property
    def free_slots(self) -> int:
        return sum(self._free(replica) for replica in self._ready)

    async def start(self) -> None:
        """Begin starting all replicas in the background."""
        for replica in self._replicas:
            task = asyncio.create_task(self._supervise(replica), name=f"supervise {replica.name}")
            task.add_done_callback(self._supervisor_ended)
            self._supervisors.append(task)

    async def stop(self) -> None:
        """Stop every replica; sync calls that still wait for a slot fail with HarnessError."""
        self._stopped = True
        for supervisor in self._supervisors:
            supervisor.cancel()
        await asyncio.gather(*self._supervisors, return_exceptions=True)
        self._supervisors.clear()
        self._ready.clear()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(HarnessError("the harness is stopping"))
        await asyncio.gather(*(replica.stop() for replica in self._replicas))

    def try_acquire(self) -> Replica | None:
        """Take a slot for an async request; None when none is free or a sync call waits for one."""
        self._drop_gone_waiters()
        return None if self._waiting else self._take()

    async def acquire(self) -> Replica:
        """Take a slot for a sync call, in order of arrival; wait while all are taken or the model loads."""
        if self._stopped:
            raise HarnessError("the harness is stopping")
        replica = self.try_acquire()
        if replica is not None:
            return replica
        waiter: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result())  # handed over in the very moment the caller left
            else:
                self._offer()  # nobody may be ahead of the async requests any more
            raise

    def release(self, replica: Replica, *, was_used: bool = True) -> None:
        """Give a slot back; of one that was not used the async requests are not told, for they have just left it."""
        if self._taken[replica] == 0:
            raise ValueError(f"a slot of {replica.name} was released more often than taken")
        self._taken[replica] -= 1
        self._offer(tell=was_used)

    def _free(self, replica: Replica) -> int:
        return max(0, self._concurrency - self._taken[replica])

    def _take(self) -> Replica | None:
        # The least busy one; the order of the replicas decides between equals.
        replica = max((r for r in self._replicas if r in self._ready), key=self._free, default=None)
        if replica is None or self._free(replica) == 0:
            return None
        self._taken[replica] += 1
        return replica

    def _drop_gone_waiters(self) -> None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()

    def _offer(self, *, tell: bool = True) -> None:
        """Hand free slots to waiting sync calls, and tell of what is left."""
        self._drop_gone_waiters()
        while self._waiting:
            replica = self._take()
            if replica is None:
                return
            self._waiting.popleft().set_result(replica)
            self._drop_gone_waiters()
        if tell and self.free_slots:
            self._on_capacity()

    async def _supervise(self, replica: Replica) -> None:
        failures = 0
        while True:
            try:
                await replica.start()
            except HarnessError as error:
                failures += 1
                self._load_failed(replica, error, delay=restart_delay(failures))
            else:
                ready_at = self._clock.now()
                self._became_ready(replica)
                reason = await replica.wait_exit()
                stable = (self._clock.now() - ready_at).total_seconds() >= STABLE_AFTER_SECONDS
                failures = 1 if stable else failures + 1
                self._went_away(replica, reason, delay=restart_delay(failures))
            await replica.stop()
            await self._clock.sleep(restart_delay(failures))

    def _became_ready(self, replica: Replica) -> None:
        self._ready.add(replica)
        self._failing = False
        self._last_error = None
        self._last_traceback = None
        self._report(f"{replica.name} is ready")
        self._offer()

    def _went_away(self, replica: Replica, reason: str, *, delay: float) -> None:
        self._ready.discard(replica)
        self._last_error = f"{replica.name} {reason}"
        self._report(f"{self._last_error}; starting it again in {delay:g} s")

    def _load_failed(self, replica: Replica, error: HarnessError, *, delay: float) -> None:
        self._failing = True
        self._last_error = str(error)
        # A model that keeps failing for the same reason shows its traceback once.
        if isinstance(error, ReplicaLoadError) and error.traceback not in (None, self._last_traceback):
            self._last_traceback = error.traceback
            for line in (error.traceback or "").rstrip().splitlines():
                self._report(f"{replica.name} | {line}")
        self._report(f"{replica.name} did not start: {error}; trying again in {delay:g} s")

    def _supervisor_ended(self, task: asyncio.Task[None]) -> None:
        """A supervisor never ends by itself; if one breaks, say so instead of going quiet."""
        with contextlib.suppress(asyncio.CancelledError):
            error = task.exception()
            self._failing = True
            self._last_error = f"{task.get_name()}: {error!r}"
            self._report(f"{self._last_error}; it is not started again")
