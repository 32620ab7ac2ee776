"""What was accepted is handled: once, later, again after a failure, and after the end of a process."""

import asyncio
import functools
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.webhooks.stepping import SteppingClock
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.contract import AsyncPredictResult
from truss_async.errors import SettingsError, WebhookReceiverError
from truss_async.webhooks import ResultInbox, on_result, result_inbox, sqlite_file
from truss_async.webhooks.result_inbox import next_handling_delay
from truss_async.webhooks.stored_results import StoredResults
from truss_async.webhooks.verification import parse_result

DEADLINE_SECONDS = 30


def make_result(request_id: str = "ab12", data: Any = None) -> AsyncPredictResult:
    return AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data=data)


class Handler:
    """Fails as often as it is told to; ``wait_for`` returns when it was called so often."""

    def __init__(self, *, failures: int = 0) -> None:
        self.failures = failures
        self.calls: list[AsyncPredictResult] = []
        self._changed = threading.Condition()

    def __call__(self, result: AsyncPredictResult) -> None:
        with self._changed:
            self.calls.append(result)
            self._changed.notify_all()
            if len(self.calls) <= self.failures:
                raise RuntimeError(f"failure {len(self.calls)}")

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, DEADLINE_SECONDS)


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = SYSTEM_CLOCK.now().timestamp() + DEADLINE_SECONDS
    while not condition():
        assert SYSTEM_CLOCK.now().timestamp() < deadline
        SYSTEM_CLOCK.block(0.01)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inbox.sqlite"


@pytest.fixture
def open_inbox(path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ResultInbox]]:
    """``on_result`` on one file; every inbox is closed at the end."""
    monkeypatch.setattr(result_inbox, "_POLL_SECONDS", 0.02)
    with ExitStack() as opened:
        yield lambda handler, **options: opened.enter_context(on_result(handler, path=path, **options))


def test_what_is_accepted_is_handled_once(open_inbox: Callable[..., ResultInbox]) -> None:
    handler = Handler()
    inbox = open_inbox(handler)
    assert inbox.accept(make_result(data={"text": "é"}))
    handler.wait_for(1)
    until(lambda: inbox.count_waiting() == 0)
    assert not inbox.accept(make_result(data="again"))
    assert inbox.accept(make_result("last"))
    handler.wait_for(2)
    assert [(each.request_id, each.data) for each in handler.calls] == [
        ("ab12", {"text": "é"}),
        ("last", None),
    ]


def test_it_is_accepted_before_it_is_handled(open_inbox: Callable[..., ResultInbox]) -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(result: AsyncPredictResult) -> None:
        entered.set()
        assert leave.wait(DEADLINE_SECONDS)

    inbox = open_inbox(hold)
    inbox.accept(make_result())
    assert entered.wait(DEADLINE_SECONDS)
    assert not inbox.accept(make_result())
    assert inbox.count_waiting() == 1
    leave.set()
    until(lambda: inbox.count_waiting() == 0)


@pytest.mark.parametrize("kind", ["another form", "a new field", "deep"])
def test_what_was_signed_is_what_is_stored_and_the_handler_gets_all_of_it(
    path: Path, open_inbox: Callable[..., ResultInbox], kind: str
) -> None:
    body = {
        "another form": b' {"time":"2026-01-01T00:00:00+01:00", "request_id":"ab12", "data": 1.10}\n',
        "a new field": b'{"request_id":"ab12","replica_id":"new!","time":0,"errors":[{"code":"C","message":"m","at":7}]}',
        "deep": b'{"request_id":"ab12","time":0,"data":' + b"[" * 1_500 + b"]" * 1_500 + b"}",
    }[kind]
    handler = Handler(failures=1)
    inbox = open_inbox(handler)
    assert inbox.accept(parse_result(body))
    handler.wait_for(1)
    with closing(sqlite3.connect(path)) as stored:
        assert stored.execute("SELECT body FROM results").fetchall() == [(body,)]
    handled = handler.calls[0]
    assert handled.as_received() == body
    if kind == "a new field":
        assert (handled.model_extra, handled.errors[0].model_extra) == ({"replica_id": "new!"}, {"at": 7})
        assert b'"replica_id":"new!"' in handled.model_dump_json().encode()


def test_a_result_that_was_changed_is_stored_as_it_is_now(
    path: Path, open_inbox: Callable[..., ResultInbox]
) -> None:
    received = parse_result(b'{"request_id":"ab12","time":0,"data":1}')
    assert received == AsyncPredictResult(request_id="ab12", time=received.time, data=1)
    handler = Handler()
    open_inbox(handler).accept(received.model_copy(update={"data": 2}))
    handler.wait_for(1)
    assert handler.calls[0].data == 2


def test_a_field_cannot_pass_for_the_received_bytes() -> None:
    result = AsyncPredictResult.model_validate_json(b'{"request_id":"ab12","time":0,"_body":"forged"}')
    assert json.loads(result.as_received())["_body"] == "forged"


def test_a_coroutine_function_may_handle(open_inbox: Callable[..., ResultInbox]) -> None:
    handler = Handler()

    async def handle(result: AsyncPredictResult) -> None:
        await asyncio.sleep(0)
        handler(result)

    open_inbox(handle).accept(make_result())
    handler.wait_for(1)


def test_coroutines_share_one_event_loop_and_its_background(open_inbox: Callable[..., ResultInbox]) -> None:
    loops: list[asyncio.AbstractEventLoop] = []
    background: list[asyncio.Task[None]] = []
    handler = Handler()
    go_on = asyncio.Event()

    async def work_on() -> None:
        await go_on.wait()
        handler(make_result("background"))

    async def handle(result: AsyncPredictResult) -> None:
        loops.append(asyncio.get_running_loop())
        if result.request_id == "first":
            background.append(asyncio.create_task(work_on()))
        else:
            go_on.set()

    inbox = open_inbox(handle)
    for request_id in ("first", "second"):
        inbox.accept(make_result(request_id))
    handler.wait_for(1)
    until(lambda: inbox.count_waiting() == 0)
    assert loops[0] is loops[1]
    assert handler.calls[0].request_id == "background"
    inbox.close()
    assert loops[0].is_closed()
    assert background[0].done()


def test_several_threads_work_on_one_event_loop_at_the_same_time(
    open_inbox: Callable[..., ResultInbox],
) -> None:
    handled = Handler()
    meeting: list[asyncio.Event] = []

    async def meet(result: AsyncPredictResult) -> None:
        """Goes on when the other is there."""
        meeting.append(asyncio.Event())
        if len(meeting) == 2:
            for each in meeting:
                each.set()
        await meeting[0].wait()
        handled(result)

    inbox = open_inbox(meet, threads=2)
    for request_id in ("one", "other"):
        inbox.accept(make_result(request_id))
    handled.wait_for(2)


def test_closing_cancels_a_coroutine_that_does_not_end_and_leaves_its_result(path: Path) -> None:
    entered = threading.Event()

    async def hang(result: AsyncPredictResult) -> None:
        entered.set()
        await asyncio.Event().wait()

    before = threading.active_count()
    inbox = on_result(hang, path=path)
    inbox.accept(make_result())
    assert entered.wait(DEADLINE_SECONDS)
    inbox.close(timeout_seconds=0)
    until(lambda: threading.active_count() <= before)
    assert inbox.count_waiting() == 1


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_handler_may_close_its_inbox(path: Path, kind: str) -> None:
    before = threading.active_count()
    closed = threading.Event()

    def close(result: AsyncPredictResult) -> None:
        inbox.close()
        closed.set()

    async def close_later(result: AsyncPredictResult) -> None:
        close(result)

    inbox = on_result(close if kind == "function" else close_later, path=path)
    inbox.accept(make_result())
    assert closed.wait(DEADLINE_SECONDS)
    inbox.close()
    until(lambda: threading.active_count() <= before)
    assert inbox.count_waiting() == 0


async def yields_later(result: AsyncPredictResult) -> AsyncIterator[int]:
    yield 1


def yields(result: AsyncPredictResult) -> Iterator[int]:
    yield 1


class Yields:
    def __call__(self, result: AsyncPredictResult) -> Iterator[int]:
        yield 1


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (yields_later, "yields_later yields, so calling it runs nothing"),
        (yields, "yields, so calling it runs nothing"),
        (Yields(), "Yields yields, so calling it"),
        (functools.partial(yields_later), "yields, so calling it runs nothing"),
        (None, "NoneType cannot be called"),
        ("handle", "str cannot be called"),
        (yields(make_result()), "cannot be called"),
        (lambda: None, "must take one argument"),
        (lambda result, more: None, "must take one argument.*'more'"),
    ],
)
def test_a_handler_that_cannot_handle_is_refused_at_once(path: Path, handler: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        on_result(handler, path=path)
    assert not path.exists()


@pytest.mark.parametrize("threads", [0, -1])
def test_somebody_must_handle(path: Path, threads: int) -> None:
    with pytest.raises(SettingsError, match="give 1 or more"):
        on_result(print, path=path, threads=threads)


@pytest.mark.parametrize("made", [yields, yields_later])
def test_a_generator_that_a_handler_returns_does_not_count_as_handled(
    open_inbox: Callable[..., ResultInbox], made: Callable[[AsyncPredictResult], object]
) -> None:
    inbox = open_inbox(lambda result: made(result), clock=ManualClock())
    inbox.accept(make_result())
    until(lambda: stored_error(inbox) is not None)
    assert "yields, so calling it runs nothing" in (stored_error(inbox) or "")
    assert inbox.count_waiting() == 1


def stored_error(inbox: ResultInbox) -> str | None:
    """Of the one result that is there."""
    error = inbox._results._file.run(
        lambda connection: connection.execute("SELECT error FROM results").fetchone()[0]
    )
    assert error is None or isinstance(error, str)
    return error


def test_what_a_coroutine_function_forgot_to_await_is_awaited(open_inbox: Callable[..., ResultInbox]) -> None:
    handler = Handler()

    async def save(result: AsyncPredictResult) -> None:
        await asyncio.sleep(0)
        handler(result)

    async def forget(result: AsyncPredictResult) -> Any:
        return save(result)

    open_inbox(forget).accept(make_result())
    handler.wait_for(1)


def test_a_thread_that_is_dead_is_replaced_before_a_result_is_acknowledged(
    open_inbox: Callable[..., ResultInbox], caplog: pytest.LogCaptureFixture
) -> None:
    handler = Handler()
    inbox = open_inbox(handler)
    kill(inbox)
    inbox.accept(make_result())
    handler.wait_for(1)
    assert "a thread that handles results had ended" in caplog.text


def test_a_result_that_nobody_can_handle_is_not_acknowledged(
    open_inbox: Callable[..., ResultInbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Handler()
    inbox = open_inbox(handler)
    kill(inbox)

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(WebhookReceiverError, match="no thread can be started to handle it: can't start"):
            inbox.accept(make_result())
    assert not inbox.accept(make_result())
    handler.wait_for(1)


def kill(inbox: ResultInbox) -> None:
    """Put a thread that has ended in the place of the inbox's own."""
    inbox._is_closing = True
    inbox._wake.set()
    for thread in inbox._threads:
        thread.join(DEADLINE_SECONDS)
    inbox._is_closing = False


class Ending(BaseException):
    """An error of the user's own that is no Exception."""


class Wordless(BaseException):
    """One that cannot even be shown."""

    def __str__(self) -> str:
        raise Ending


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Ending("own"), "Ending: own"),
        (Wordless(), "Wordless: no message"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
        (GeneratorExit(), "GeneratorExit: "),
        (SystemExit(1), "SystemExit: 1"),
        (pytest.fail.Exception("a test's own"), "Failed: a test's own"),
        (asyncio.CancelledError(), "CancelledError: "),
        (RuntimeError("\ud800"), r"RuntimeError: \ud800"),
        (RuntimeError("x" * 5000), "RuntimeError: " + "x" * 1986 + "…"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_whatever_a_handler_raises_its_result_stays_and_the_next_one_is_handled(
    open_inbox: Callable[..., ResultInbox],
    error: BaseException,
    told: str,
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        result_inbox.logger, "disabled", True
    )  # no report of a test can hold a lone surrogate
    handler = Handler()

    def handle(result: AsyncPredictResult) -> None:
        if result.request_id == "bad":
            raise error
        handler(result)

    async def handle_later(result: AsyncPredictResult) -> None:
        await asyncio.sleep(0)
        handle(result)

    inbox = open_inbox(handle if kind == "function" else handle_later, clock=ManualClock())
    inbox.accept(make_result("bad"))
    inbox.accept(make_result("good"))
    handler.wait_for(1)
    until(lambda: not busy(inbox))
    assert inbox.count_waiting() == 1
    query = "SELECT error FROM results WHERE request_id = 'bad'"
    assert inbox._results._file.run(lambda connection: connection.execute(query).fetchone()[0]) == told


def test_a_handler_that_fails_is_called_again_after_a_while(open_inbox: Callable[..., ResultInbox]) -> None:
    clock, handler = ManualClock(), Handler(failures=2)
    inbox = open_inbox(handler, clock=clock)
    inbox.accept(make_result())
    for count in (1, 2):
        handler.wait_for(count)
        until(lambda: not busy(inbox))
        clock.advance(10)
    handler.wait_for(3)
    until(lambda: inbox.count_waiting() == 0)
    assert inbox.failed() == []


def busy(inbox: ResultInbox) -> bool:
    """Whether somebody has claimed something."""
    query = "SELECT count(*) FROM results WHERE owner IS NOT NULL AND state = 'waiting'"
    count = inbox._results._file.run(lambda connection: connection.execute(query).fetchone()[0])
    return bool(count)


@pytest.mark.parametrize("error", [RuntimeError("no"), SystemExit(3), asyncio.CancelledError()])
def test_a_result_that_always_fails_is_set_aside_and_can_be_tried_again(
    open_inbox: Callable[..., ResultInbox], error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    clock, handler, broken = ManualClock(), Handler(), [True]

    def handle(result: AsyncPredictResult) -> None:
        handler(result)
        if broken:
            raise error

    inbox = open_inbox(handle, clock=clock)
    inbox.accept(make_result(data=5))
    for count in range(1, 6):
        handler.wait_for(count)
        until(lambda: not busy(inbox))
        clock.advance(600)
    (failed,) = inbox.failed()
    assert (failed.request_id, failed.attempts) == ("ab12", 5)
    assert failed.error.startswith(type(error).__name__)
    assert AsyncPredictResult.model_validate_json(failed.body).data == 5
    assert inbox.count_waiting() == 0
    until(lambda: "is set aside" in caplog.text)
    broken.clear()
    assert inbox.retry("ab12")
    assert not inbox.retry("unknown")
    handler.wait_for(6)
    until(lambda: inbox.count_waiting() == 0)
    assert inbox.failed() == []


def test_the_waits_between_attempts() -> None:
    assert [next_handling_delay(attempts) for attempts in (1, 2, 3, 4, 5, 9)] == [1, 10, 60, 600, None, None]


def test_what_nobody_handled_is_handled_by_the_next(
    path: Path, open_inbox: Callable[..., ResultInbox]
) -> None:
    StoredResults(path, clock=SYSTEM_CLOCK).add("ab12", make_result().model_dump_json().encode())
    handler = Handler()
    open_inbox(handler)
    handler.wait_for(1)


def test_a_closed_inbox_still_stores(path: Path) -> None:
    handler = Handler()
    inbox = on_result(handler, path=path)
    inbox.close()
    inbox.close()
    assert inbox.accept(make_result())
    assert inbox.count_waiting() == 1
    assert handler.calls == []


CRASHING = """
import os, sys
from datetime import datetime, timezone
from truss_async import AsyncPredictResult, on_result
inbox = on_result(lambda result: os._exit(7), path=sys.argv[1])
if len(sys.argv) > 2:
    inbox.accept(AsyncPredictResult(request_id="ab12", time=datetime.now(timezone.utc), data=1))
sys.stdin.read()
"""


def crash(path: Path, *arguments: str) -> None:
    command = [sys.executable, "-c", CRASHING, str(path), *arguments]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    try:
        assert process.wait(60) == 7
    finally:
        process.kill()
        process.communicate()


def test_a_crash_in_the_handler_loses_nothing(path: Path, open_inbox: Callable[..., ResultInbox]) -> None:
    crash(path, "accept")
    handler = Handler()
    # Another process takes over when the claim of the dead has run out: at once, by this clock.
    open_inbox(handler, clock=ManualClock(SYSTEM_CLOCK.now().replace(year=2100)))
    handler.wait_for(1)
    assert handler.calls[0].data == 1


def test_a_result_that_ends_every_process_is_set_aside(
    path: Path, open_inbox: Callable[..., ResultInbox]
) -> None:
    clock = ManualClock()
    results = StoredResults(path, clock=clock)
    results.add("ab12", make_result().model_dump_json().encode())
    for attempt in range(1, 6):
        claimed = results.claim(f"process {attempt}", seconds=6)
        assert claimed is not None
        assert claimed.attempts == attempt
        clock.advance(6)  # it died
    handler = Handler()
    inbox = open_inbox(handler, clock=clock)
    until(lambda: inbox.count_waiting() == 0)
    assert inbox.failed()[0].error == "the process ended while the result was being handled"
    assert handler.calls == []


def test_a_claimed_result_is_nobody_elses(path: Path) -> None:
    clock = ManualClock()
    results = StoredResults(path, clock=clock)
    results.add("ab12", b"{}")
    assert results.claim("a", seconds=6) is not None
    clock.advance(5)
    results.renew("ab12", "a", seconds=6)
    clock.advance(5)
    assert results.claim("b", seconds=6) is None
    clock.advance(1)
    assert results.claim("b", seconds=6) is not None
    # Who has lost the claim decides nothing any more, but what it has handled is handled.
    results.put_off("ab12", "a", seconds=100, error="late")
    results.give_up("ab12", "a", error="late")
    assert results.failed() == []
    results.finish("ab12")
    clock.advance(6)
    assert results.claim("c", seconds=6) is None


@pytest.mark.parametrize("hours", [-1, 1, -24 * 365 * 50, 24 * 365 * 50])
def test_every_wait_lasts_as_long_when_the_time_of_day_is_set(path: Path, hours: float) -> None:
    clock = SteppingClock()
    results = StoredResults(path, clock=clock)
    for request_id in ("new", "put off", "claimed", "handled"):
        results.add(request_id, b"{}")
    results.finish("handled")
    assert [claimed.request_id for owner in "abc" if (claimed := results.claim(owner, seconds=30))] == [
        "new",
        "put off",
        "claimed",
    ]
    results.put_off("new", "a", seconds=0, error="no")
    results.put_off("put off", "b", seconds=10, error="no")
    clock.step(hours)
    assert take(results) == ["new"]
    clock.advance(9)
    assert take(results) == []
    clock.advance(1)
    assert take(results) == ["put off"]
    results.add("another", b"{}")  # and what was handled too long ago is forgotten
    clock.advance(19)
    assert take(results) == ["another"]
    clock.advance(1)
    assert take(results) == ["claimed"]
    assert not results.add("handled", b"again")


def take(results: StoredResults) -> list[str]:
    """What is due, and is handled now."""
    due: list[str] = []
    while claimed := results.claim("somebody", seconds=30):
        due.append(claimed.request_id)
        results.finish(claimed.request_id)
    return due


def test_a_clock_that_only_tells_the_time_will_do(path: Path) -> None:
    class Ahead:
        hours = 1

        def now(self) -> datetime:
            return SYSTEM_CLOCK.now() + timedelta(hours=self.hours)

    clock = Ahead()
    results = StoredResults(path, clock=clock)
    results.add("ab12", b"{}")
    clock.hours = 0
    assert results.claim("a", seconds=30) is not None


def test_what_waited_when_the_machine_was_started_anew_is_due(path: Path) -> None:
    before = ManualClock()
    before.advance(hours=100)
    results = StoredResults(path, clock=before)
    for request_id in ("claimed", "put off", "new", "handled"):
        results.add(request_id, b"{}")
    results.claim("a", seconds=30)
    results.claim("a", seconds=30)
    results.put_off("put off", "a", seconds=600, error="no")
    results.finish("handled")
    # The seconds count from 0 again, the time of day goes on.
    after = ManualClock(before.now())
    anew = StoredResults(path, clock=after)
    assert sorted(take(anew)) == ["claimed", "new", "put off"]
    assert not anew.add("handled", b"again")
    after.advance(hours=7 * 24 + 100)  # the later of both measures
    assert anew.add("handled", b"again")


def test_an_inbox_of_an_earlier_version_is_taken_over(path: Path) -> None:
    clock = ManualClock()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE results (request_id TEXT PRIMARY KEY, state TEXT, body BLOB, received_at REAL, due_at REAL,"
            " attempts INTEGER, owner TEXT, claimed_until REAL, error TEXT)"
        )
        rows = [
            ("waits", "waiting", b"{}", 1.5e9, 2e9, 1, None, 0, "no"),
            ("failed", "failed", b"{}", 1.5e9, 1.5e9, 5, None, 0, "no"),
            ("handled", "handled", None, 1.5e9, clock.now().timestamp() + 100, 1, None, 0, None),
        ]
        connection.executemany("INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        connection.commit()
    results = StoredResults(path, clock=clock)
    claimed = results.claim("a", seconds=30)
    assert claimed is not None
    assert (claimed.request_id, claimed.attempts) == ("waits", 2)
    assert [failed.request_id for failed in StoredResults(path, clock=clock).failed()] == ["failed"]
    assert not results.add("handled", b"again")


def test_a_handled_result_leaves_no_output_and_is_forgotten_after_a_week(path: Path) -> None:
    clock = ManualClock()
    results = StoredResults(path, clock=clock)
    results.add("ab12", b'{"secret output": 1}')
    results.finish("ab12")
    assert not results.add("ab12", b"again")
    clock.advance(hours=7 * 24)
    assert results.add("ab12", b"again")


def test_what_was_changed_in_the_file_is_set_aside_at_once_and_not_logged(
    path: Path, open_inbox: Callable[..., ResultInbox], caplog: pytest.LogCaptureFixture
) -> None:
    StoredResults(path, clock=SYSTEM_CLOCK).add("ab12", b'{"data": "confidential"}')
    inbox = open_inbox(Handler())
    until(lambda: len(inbox.failed()) == 1)
    assert inbox.failed()[0].error.startswith("what is stored was changed: ")
    assert "confidential" not in caplog.text


def test_a_file_that_cannot_be_used_refuses_the_result_and_stops_nothing(
    path: Path, open_inbox: Callable[..., ResultInbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "_LOCK_SECONDS", 0.01)
    handler = Handler()
    inbox = open_inbox(handler)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(WebhookReceiverError, match=r"cannot use .*: database is locked"):
            inbox.accept(make_result())
    assert inbox.accept(make_result())
    handler.wait_for(1)


def test_a_file_that_was_removed_is_made_anew(path: Path, open_inbox: Callable[..., ResultInbox]) -> None:
    handler = Handler()
    inbox = open_inbox(handler)
    inbox.accept(make_result())
    handler.wait_for(1)
    until(lambda: inbox.count_waiting() == 0)
    path.unlink()
    assert inbox.accept(make_result())
    handler.wait_for(2)
    assert path.is_file()


def test_an_inbox_works_on_in_a_forked_process(path: Path) -> None:
    script = """
import os, sys
from datetime import datetime, timezone
from truss_async import AsyncPredictResult, on_result
import threading
done = threading.Event()
inbox = on_result(lambda result: (print(os.getpid(), flush=True), done.set()), path=sys.argv[1])
inbox.close()  # of the parent, which a preloading server would keep
inbox._is_closing = False
child = os.fork()
if child == 0:
    inbox.accept(AsyncPredictResult(request_id="ab12", time=datetime.now(timezone.utc)))
    os._exit(0 if done.wait(30) else 1)
assert os.waitpid(child, 0)[1] == 0
print(child)
"""
    command = [sys.executable, "-W", "ignore", "-c", script, str(path)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert shown[0] == shown[1]
    assert shown[0] != str(os.getpid())
