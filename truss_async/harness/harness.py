"""The harness: every part of the local platform, started in order and stopped in reverse."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, closing, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from ..clock import SYSTEM_CLOCK, ManualClock, within
from ..contract import AsyncPredictAccepted, CancelAnswer, InferenceRetryConfig, limits
from ..contract.harness_calls import DeliveryAttemptRecord, DeliveryAttempts
from ..errors import HarnessError, SettingsError
from ..nearest import suggestion
from ..printable import print_line
from ..replicas.readiness import all_ready
from .api import MAX_DELIVERIES, call_api, served_by
from .assembly import Given, start_parts
from .dispatcher import Dispatcher
from .faults import Faults
from .inspection import HarnessLog, LineKeeper
from .load_failures import LoadFailures
from .running import LoopThread, address, bind, ending_signals
from .stories import PROBLEM_KINDS, Journal, RequestHandle, find_problems, wait_for_rest

if TYPE_CHECKING:
    import socket
    from asyncio import Task

    from ..clock import MovableClock
    from ..replicas.logs import ReplicaLogLine
    from .assembly import Running
    from .settings import HarnessSettings
    from .stories import Problem, ProblemKind


COUNT_SECONDS: Final = 2.0


def print_to_stderr(line: str) -> None:
    """Where lines for a person go by default."""
    print_line(line, file=sys.stderr)


class Harness:
    """The local platform, as an object: ``with Harness(settings) as harness: … harness.url``.

    ``report`` gets one line for each thing a person should know, ``log`` each line that a replica logs, and unless the
    settings are ``quiet``, one for each sync call and each async request that is over; all are fit for a terminal.
    ``short_ids``: the lines name requests by the first eight characters of their ids.
    ``environment`` is added to the environment of the replicas. ``clock`` is the system's, unless the settings ask for a
    virtual one; moved by ``advance``, a ManualClock lets everything that falls due happen, in order, before it returns.
    Without ``stories``, which cost each request some 50 µs, it tells nothing of its requests: ``submit``, ``requests``
    and ``problems`` do not work.
    """

    def __init__(
        self,
        settings: HarnessSettings,
        *,
        clock: MovableClock | None = None,
        report: Callable[[str], None] = print_to_stderr,
        log: Callable[[str], None] = print_to_stderr,
        environment: Mapping[str, str] | None = None,
        stories: bool = True,
        short_ids: bool = False,
        failures: LoadFailures | None = None,
    ) -> None:
        self.settings = settings
        self.clock: MovableClock = clock or (
            ManualClock(SYSTEM_CLOCK.now()) if settings.virtual_clock else SYSTEM_CLOCK
        )
        self._log = HarnessLog(
            report=report, log=log, clock=self.clock, format=settings.log_format, short_ids=short_ids
        )
        report = self._log.say
        self._lines = LineKeeper()
        self.faults = Faults(clock=self.clock, report=report)
        for rule in settings.faults:
            self.faults.add(rule)
        self._journal = Journal() if stories else None
        self._given = Given(
            settings=settings,
            clock=self.clock,
            faults=self.faults,
            report=report,
            on_line=self._on_line,
            environment=dict(environment or {}),
            journal=self._journal,
            log=self._log,
            lines=self._lines,
            failures=failures,
        )
        self._running: Running | None = None
        self._allowed: set[str] = set()
        self._socket: socket.socket | None = None
        self._thread = LoopThread("truss-async-harness", report=report)

    @property
    def url(self) -> str:
        """Where this machine reaches it, without a slash at the end.

        Raises:
            HarnessError: it is not started.
        """
        if self._socket is None:
            raise HarnessError("the harness is not started")
        return address(self._socket)

    def start(self) -> None:
        """Accept calls; the model loads in the background.

        Raises:
            HarnessError: the port is taken, the state folder is in use, there is no such truss, …
        """
        listening = self._socket = bind(self.settings.host, self.settings.port)
        try:
            self._thread.start(lambda parts: self._begin(parts, listening))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop everything; harmless when done twice."""
        self._thread.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until it has ended by itself, which it never should; False when the time is up."""
        return self._thread.wait(timeout_seconds)

    def __enter__(self) -> Harness:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        model_input: Any,
        *,
        webhook_endpoint: str | None = None,
        priority: int = limits.DEFAULT_PRIORITY,
        max_time_in_queue_seconds: int = limits.DEFAULT_TIME_IN_QUEUE_SECONDS,
        inference_retry_config: InferenceRetryConfig | Mapping[str, int] | None = None,
        deployment_id: str | None = None,
    ) -> RequestHandle:
        """Make an async request, as a caller does: of the one deployment, or of the one that is named.

        Raises:
            ApiError: it is refused.
        """
        asked = {
            "model_input": model_input,
            "webhook_endpoint": webhook_endpoint,
            "priority": priority,
            "max_time_in_queue_seconds": max_time_in_queue_seconds,
            "inference_retry_config": inference_retry_config or InferenceRetryConfig(),
        }
        answer = self._ask("POST", self._async_path(deployment_id), asked)
        return self._handle(AsyncPredictAccepted(**answer).request_id)

    @property
    def requests(self) -> tuple[RequestHandle, ...]:
        """Every request that was accepted, in that order, whoever made it; of very many, the latest."""
        return tuple(self._handle(story.request_id) for story in self._kept_stories.stories())

    @property
    def other_lines(self) -> tuple[str, ...]:
        """The latest lines that replicas wrote outside of any request, while they loaded, say."""
        return tuple(self._kept_stories.lines)

    @property
    def deliveries(self) -> tuple[DeliveryAttemptRecord, ...]:
        """The latest delivery attempts, in the order in which they were made."""
        answer = self._ask("GET", "/_harness/deliveries", query=f"limit={MAX_DELIVERIES}")
        return tuple(reversed(DeliveryAttempts(**answer).deliveries))

    def redeliver(self, request_id: str, *, to: str | None = None) -> DeliveryAttemptRecord:
        """Send a result again that ``keep_results`` keeps: once, to its webhook endpoint or to another URL.

        Raises:
            ApiError: it is not kept, or cannot be sent there.
        """
        path = f"/_harness/requests/{quote(request_id, safe='')}/redeliver"
        return DeliveryAttemptRecord(**self._ask("POST", path, {"webhook_endpoint": to}))

    def pause(self) -> None:
        """Accept requests, and begin no inference attempt, until ``resume``; what runs, runs on."""
        self._change_dispatchers(Dispatcher.pause)

    def resume(self) -> None:
        """Begin inference attempts again."""
        self._change_dispatchers(Dispatcher.resume)

    def wait_ready(self, *, timeout_seconds: float = 600) -> None:
        """Return once every deployment has a replica that is loaded.

        Raises:
            HarnessError: one does not load, or not in time.
        """
        pools = [each.pool for each in self._parts.deployments]
        self._thread.run(all_ready(pools, timeout_seconds=timeout_seconds))

    def tell_what_waits(self) -> None:
        """Report how many requests are not over, and what becomes of them; nothing, where that cannot be told soon."""
        with suppress(TimeoutError):
            count = self._thread.run(within(COUNT_SECONDS, self._count_open(), clock=SYSTEM_CLOCK))
            if count and self.settings.state is not None:
                self._log.say(
                    f"ending: {count} not over in the database; other harnesses that serve it continue them"
                )
            elif count and self.settings.state_dir is not None:
                waiting = "1 request waits" if count == 1 else f"{count} requests wait"
                self._log.say(f"ending: {waiting} in {self.settings.state_dir}; serve it again to continue")

    def allow(self, *kinds: ProblemKind) -> None:
        """Let ``problems`` not mention these: they are meant to happen."""
        for kind in kinds:
            if kind not in PROBLEM_KINDS:
                raise SettingsError(f"there is no problem {kind!r}; {suggestion(kind, PROBLEM_KINDS)}")
        self._allowed.update(kinds)

    def problems(self, *, patience_seconds: float = 1) -> list[Problem]:
        """What went wrong so far: exceptions of the model, webhooks that were not delivered, requests that are not over.

        What is being worked on is awaited for ``patience_seconds`` of real time.
        """
        journal = self._kept_stories
        if "unfinished_requests" not in self._allowed:
            wait_for_rest(journal, is_paused=self._is_paused, timeout_seconds=patience_seconds)
        return find_problems(journal, allowed=self._allowed)

    def knows(self, request_id: str | None) -> bool:
        """Whether it is the id of a request that was accepted here."""
        return self._journal is not None and self._journal.story(request_id or "") is not None

    def note_line(self, line: ReplicaLogLine) -> None:
        """Let a line that a replica wrote become a part of its request's story."""
        if self._journal is not None:
            self._journal.note_line(
                line.message, self.clock.now(), request_id=line.request_id, goes_on=line.goes_on
            )

    @property
    def _is_paused(self) -> bool:
        return all(each.dispatcher.is_paused for each in self._parts.deployments)

    @property
    def _parts(self) -> Running:
        if self._running is None:
            raise HarnessError("the harness is not started")
        return self._running

    @property
    def _kept_stories(self) -> Journal:
        if self._journal is None:
            raise HarnessError("this harness keeps no stories of its requests")
        return self._journal

    async def _count_open(self) -> int:
        return sum([await each.open_requests() for each in self._parts.deployments])

    def _handle(self, request_id: str) -> RequestHandle:
        story = self._kept_stories.story(request_id)
        if story is None:
            raise HarnessError(f"there is no story of request {request_id}")
        return RequestHandle(
            story,
            journal=self._kept_stories,
            clock=self.clock,
            is_paused=lambda: self._is_paused,
            cancel=self._cancel,
            answers_at=self._parts.activity.answers_at if self._has_stubs else None,
        )

    @property
    def _has_stubs(self) -> bool:
        return any(each.stub is not None for each in self.settings.all_deployments)

    def _cancel(self, request_id: str) -> bool:
        return CancelAnswer(**self._ask("DELETE", f"/async_request/{request_id}")).canceled

    def _async_path(self, deployment_id: str | None) -> str:
        for each in self._parts.deployments:
            if deployment_id in (None, each.id):
                served = served_by(each)
                target = f"/{served.kind.value}/{served.name}/deployment/{each.id}" if deployment_id else ""
                return f"{target}/async_{served.kind.word}"
        raise HarnessError(f"there is no deployment {deployment_id}")

    def _ask(self, method: str, path: str, body: Any = None, *, query: str = "") -> Any:
        call = call_api(self._parts.api, method, path, body, api_key=self.settings.api_key, query=query)
        return self._thread.run(call)

    def _change_dispatchers(self, change: Callable[[Dispatcher], None]) -> None:
        deployments = self._parts.deployments

        async def change_each() -> None:
            for deployment in deployments:
                change(deployment.dispatcher)

        self._thread.run(change_each())

    async def _begin(self, parts: AsyncExitStack, listening: socket.socket) -> Sequence[Task[Any]]:
        self._running = await start_parts(parts, self._given, listening=listening)
        return self._running.tasks

    def _on_line(self, line: ReplicaLogLine) -> None:
        self._lines.keep(line, at=self.clock.now())
        self._log.replica(line)
        self.note_line(line)


def spare_the_collector() -> None:
    """Let Python look for garbage less often, and never in what is loaded by now, which stays: each request is faster."""
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)


def run(settings: HarnessSettings, *, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; announce the address once calls are accepted. For the main thread.

    Raises:
        HarnessError: it cannot start, has nothing to serve, or has broken down.
    """
    to_load = sum(each.replicas > 0 for each in settings.all_deployments)
    failures = LoadFailures(count=to_load, fail_fast=settings.fail_fast)
    harness = Harness(settings, stories=False, short_ids=sys.stderr.isatty(), failures=failures)
    harness.start()  # which Ctrl-C interrupts: what a chain imports may take its time
    with ending_signals() as ended, closing(harness):
        spare_the_collector()
        announce(f"listening on {harness.url}")
        while not ended.wait(timeout=0.5):
            if harness.wait(timeout_seconds=0):
                raise HarnessError("the harness has failed; see its last log lines")
            if failures.error is not None:
                raise failures.error
        harness.tell_what_waits()
