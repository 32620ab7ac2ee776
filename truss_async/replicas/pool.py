"""Keeps replicas alive, and shares out their concurrency slots: sync calls first, async requests after."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Literal

from ..clock import wait_for_event
from ..errors import HarnessError
from .protocol import ReplicaLoadError, TellsWhyItWaits

if TYPE_CHECKING:
    from ..clock import Clock
    from .protocol import Replica

PoolState = Literal["starting", "ready", "failed", "scaled_to_zero"]

MAX_RESTART_DELAY_SECONDS: Final = 30.0
STABLE_AFTER_SECONDS: Final = 60.0
"""A replica that served this long starts its backoff afresh when it exits."""


def restart_delay(failures: int) -> float:
    """Seconds to wait after so many failures in a row: 1, 2, 4, … 30."""
    return float(min(2 ** min(failures - 1, 10), MAX_RESTART_DELAY_SECONDS))


class ReplicaPool:
    """Restarts replicas that exit or do not load, with backoff, for as long as it runs; ``resize`` says how many run.

    ``report`` gets a line at each transition; ``on_capacity`` is called when a slot may have become free
    for async requests; ``demand_changed`` is set when the requests may need more replicas, or fewer.
    Everything happens on the event loop that called ``start``.
    """

    def __init__(
        self,
        replicas: Sequence[Replica],
        *,
        concurrency: int,
        clock: Clock,
        report: Callable[[str], None],
        on_capacity: Callable[[], None],
        on_first_failure: Callable[[HarnessError], bool] = lambda _: False,
        remedy: str = "it is retried until it loads",
    ) -> None:
        """``on_first_failure`` is told why no replica ever loaded; True: all ends with that, and nothing is tried again.

        ``remedy`` is what is said of a replica that does not load: once, for each reason.
        """
        self.concurrency = concurrency
        self.demand_changed = asyncio.Event()
        self._replicas = tuple(replicas)
        self._clock = clock
        self._report = report
        self._on_capacity = on_capacity
        self._ready: set[Replica] = set()
        # Slots outlive a restart: whoever called the replica that died still holds one, and gives it back.
        self._taken: dict[Replica, int] = dict.fromkeys(self._replicas, 0)
        self._waiting: deque[asyncio.Future[Replica]] = deque()
        self._calls = 0
        self._peak_calls = 0
        self._supervisors: dict[Replica, asyncio.Task[None]] = {}
        self._leaving: set[Replica] = set()
        self._stopping: dict[Replica, asyncio.Task[None]] = {}
        self._on_first_failure = on_first_failure
        self._remedy = remedy
        self._edited = asyncio.Event()
        self._has_loaded = False
        self._failing = False
        self._last_error: str | None = None
        self._told: str | None = None
        self._last_traceback: str | None = None
        self._stopped = False
        self.restarts = 0
        """How often a replica was started again by itself, for it had ended or had not loaded."""

    @property
    def state(self) -> PoolState:
        if self._ready:
            return "ready"
        if not self._supervisors:
            return "scaled_to_zero"
        return "failed" if self._failing else "starting"

    @property
    def last_error(self) -> str | None:
        """Why a replica last failed to load or went away, or what one waits for that starts; None once all is well again."""
        waiting = (each.waits_for for each in self._supervisors if isinstance(each, TellsWhyItWaits))
        return self._last_error or next(filter(None, waiting), None)

    @property
    def ready_count(self) -> int:
        return len(self._ready)

    @property
    def starting_count(self) -> int:
        return len(self._supervisors) - len(self._ready)

    @property
    def stopping_count(self) -> int:
        """Replicas that were let go, and have not ended yet."""
        return sum(not stopping.done() for stopping in self._stopping.values())

    @property
    def replicas(self) -> Sequence[Replica]:
        """All that there may be, whether they run or not."""
        return self._replicas

    @property
    def taken_slots(self) -> int:
        return sum(self._taken.values())

    @property
    def free_slots(self) -> int:
        return sum(self._free(replica) for replica in self._ready - self._leaving)

    @property
    def calls(self) -> int:
        """Sync calls that have a slot, wait for one, or are to be repeated."""
        return self._calls

    async def start(self, count: int | None = None) -> None:
        """Begin starting so many replicas, or all, in the background."""
        for replica in self._replicas[:count]:
            self._start(replica)

    async def stop(self) -> None:
        """Stop every replica; sync calls that still wait for a slot fail with HarnessError."""
        self._stopped = True
        for supervisor in self._supervisors.values():
            supervisor.cancel()
        await asyncio.gather(*self._supervisors.values(), *self._stopping.values(), return_exceptions=True)
        self._supervisors.clear()
        self._stopping.clear()
        self._ready.clear()
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(HarnessError("the harness is stopping"))
        await asyncio.gather(*(replica.stop() for replica in self._replicas))

    def resize(self, count: int) -> None:
        """Let so many replicas run: start some, or let some go, as soon as nobody calls them any more."""
        if self._stopped:
            return
        staying = [r for r in self._replicas if r in self._supervisors and r not in self._leaving]
        if len(staying) < count:
            others = [r for r in self._replicas if r not in staying]
            others.sort(key=lambda r: r not in self._leaving)  # what has not gone need not be loaded
            for replica in others[: count - len(staying)]:
                self._keep_or_start(replica)
        elif len(staying) > count:
            staying.sort(key=lambda r: (r not in self._ready, -self._taken[r]))
            self._leaving.update(staying[count:])
            for replica in staying[count:]:
                self._let_go_when_idle(replica)

    def wake(self) -> None:
        """Ask for a replica, as a sync call would that is over already."""
        self._peak_calls = max(self._peak_calls, 1)
        self.demand_changed.set()

    def retry(self) -> bool:
        """Try again at once what does not load, for it was edited; False when nothing waits for that."""
        if self.state != "failed":
            return False
        self._told = self._last_traceback = None
        self._edited.set()
        self._edited = asyncio.Event()
        return True

    def take_peak_calls(self) -> int:
        """The most sync calls that there were at once since this was last asked."""
        peak, self._peak_calls = self._peak_calls, 0
        return peak

    @property
    def has_room(self) -> bool:
        """Whether a sync call would get a slot at once."""
        self._drop_gone_waiters()
        return not self._waiting and self.free_slots > 0

    def turn_away(self) -> None:
        """A sync call that does not wait got no slot: it counts in what the replicas should be enough for."""
        self._peak_calls = max(self._peak_calls, self._calls + 1)
        self.demand_changed.set()

    @contextlib.contextmanager
    def counting_a_call(self) -> Iterator[None]:
        """Count a sync call that neither has a slot nor waits for one: it is to be repeated."""
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            self.demand_changed.set()

    def try_acquire(self) -> Replica | None:
        """Take a slot for an async request; None when none is free or a sync call waits for one."""
        self._drop_gone_waiters()
        return None if self._waiting else self._take()

    async def acquire(self) -> Replica:
        """Take a slot for a sync call, in order of arrival; wait while all are taken or the model loads."""
        if self._stopped:
            raise HarnessError("the harness is stopping")
        self._calls += 1
        self._peak_calls = max(self._peak_calls, self._calls)
        self.demand_changed.set()
        replica = self.try_acquire()
        if replica is not None:
            return replica
        waiter: asyncio.Future[Replica] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.release(waiter.result(), by_call=True)  # handed over in the very moment the caller left
            else:
                self._calls -= 1
                self._offer()  # nobody may be ahead of the async requests any more
            raise

    def release(self, replica: Replica, *, was_used: bool = True, by_call: bool = False) -> None:
        """Give a slot back: a sync call the one that it acquired, an async request the one that was left to it.

        Of one that was not used the async requests are not told, for they have just left it.
        """
        if self._taken[replica] == 0:
            raise ValueError(f"a slot of {replica.name} was released more often than taken")
        self._taken[replica] -= 1
        self._calls -= by_call
        self._let_go_when_idle(replica)
        self._offer(notify=was_used)

    def _free(self, replica: Replica) -> int:
        return max(0, self.concurrency - self._taken[replica])

    def _take(self) -> Replica | None:
        # The least busy one; the order of the replicas decides between equals.
        takers = (r for r in self._replicas if r in self._ready and r not in self._leaving)
        replica = max(takers, key=self._free, default=None)
        if replica is None or self._free(replica) == 0:
            return None
        self._taken[replica] += 1
        return replica

    def _drop_gone_waiters(self) -> None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()

    def _offer(self, *, notify: bool = True) -> None:
        """Hand free slots to waiting sync calls, and notify of what is left."""
        self.demand_changed.set()
        self._drop_gone_waiters()
        while self._waiting:
            replica = self._take()
            if replica is None:
                return
            self._waiting.popleft().set_result(replica)
            self._drop_gone_waiters()
        if notify and self.free_slots:
            self._on_capacity()

    def _keep_or_start(self, replica: Replica) -> None:
        if replica in self._leaving:
            self._leaving.discard(replica)
            self._offer()
        else:
            self._report(f"{replica.name} is starting")
            self._start(replica)

    def _start(self, replica: Replica) -> None:
        if not self._supervisors:
            self._failing = False  # so that calls wait for it, instead of hearing of the last time
            self._last_error = None
        task = asyncio.create_task(self._supervise(replica), name=f"supervise {replica.name}")
        task.add_done_callback(self._supervisor_ended)
        self._supervisors[replica] = task

    def _let_go_when_idle(self, replica: Replica) -> None:
        if replica in self._leaving and self._taken[replica] == 0:
            self._leaving.discard(replica)
            self._ready.discard(replica)
            stopping = self._let_go(replica, self._supervisors.pop(replica), self._stopping.get(replica))
            self._stopping[replica] = asyncio.create_task(stopping, name=f"stop {replica.name}")

    async def _let_go(
        self, replica: Replica, supervisor: asyncio.Task[None], before: asyncio.Task[None] | None
    ) -> None:
        self._report(f"{replica.name} is no longer needed; stopping")
        supervisor.cancel()
        await asyncio.wait([task for task in (supervisor, before) if task is not None])
        await replica.stop()

    async def _supervise(self, replica: Replica) -> None:
        if stopping := self._stopping.get(replica):
            await asyncio.wait([stopping])
        failures = 0
        while True:
            edited = self._edited
            try:
                await replica.start()
            except HarnessError as error:
                failures += 1
                if self._load_failed(replica, error):
                    return
            else:
                ready_at = self._clock.monotonic()
                self._became_ready(replica)
                reason = await replica.wait_exit(on_traffic=functools.partial(self._set_traffic, replica))
                stable = self._clock.monotonic() - ready_at >= STABLE_AFTER_SECONDS
                failures = 1 if stable else failures + 1
                self._went_away(replica, reason, delay=restart_delay(failures))
            await replica.stop()
            await wait_for_event(edited, clock=self._clock, seconds=restart_delay(failures))
            if edited.is_set():
                failures = 0
            self.restarts += 1

    def _became_ready(self, replica: Replica) -> None:
        self._ready.add(replica)
        self._has_loaded = True
        self._failing = False
        self._last_error = self._told = None
        self._last_traceback = None
        self._report(f"{replica.name} is ready")
        self._offer()

    def _set_traffic(self, replica: Replica, gets_requests: bool) -> None:
        if gets_requests:
            self._ready.add(replica)
            self._report(f"{replica.name} is healthy again")
            self._offer()
        else:
            self._ready.discard(replica)
            self._report(f"{replica.name} is unhealthy and gets no requests")

    def _went_away(self, replica: Replica, reason: str, *, delay: float) -> None:
        self._ready.discard(replica)
        self._last_error = f"{replica.name} {reason}"
        self._report(f"{self._last_error}; restarting in {delay:g} s")

    def _load_failed(self, replica: Replica, error: HarnessError) -> bool:
        """Whether all ends with that."""
        self._failing = True
        self._last_error = str(error)
        # A model that keeps failing for the same reason shows its traceback once.
        if isinstance(error, ReplicaLoadError) and error.traceback not in (None, self._last_traceback):
            self._last_traceback = error.traceback
            for line in (error.traceback or "").rstrip().splitlines():
                self._report(f"{replica.name} | {line}")
        if not self._has_loaded and self._on_first_failure(error):
            return True
        if self._told != self._last_error:
            self._told = self._last_error
            self._report(f"{replica.name} did not start: {error}; {self._remedy}")
        return False

    def _supervisor_ended(self, task: asyncio.Task[None]) -> None:
        """A supervisor ends by itself with all else only; if one breaks, say so instead of going quiet."""
        with contextlib.suppress(asyncio.CancelledError):
            error = task.exception()
            if error is None:
                return
            self._failing = True
            self._last_error = f"{task.get_name()}: {error!r}"
            self._report(f"{self._last_error}; it is not restarted")
