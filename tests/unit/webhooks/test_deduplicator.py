"""A result that comes twice is handled once: in one process, in two, with any store."""

import queue
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.webhooks.stepping import SteppingClock
from truss_async.clock import SYSTEM_CLOCK, ManualClock, SystemClock
from truss_async.contract import AsyncPredictResult
from truss_async.contract.limits import DELIVERY_TIMEOUT_SECONDS
from truss_async.errors import ResultBusyError, SettingsError, WebhookReceiverError
from truss_async.webhooks import Deduplicator, HandledStore, MemoryHandledStore, SqliteHandledStore
from truss_async.webhooks.deduplicator import LEASE_SECONDS, WAIT_SECONDS
from truss_async.webhooks.lease import renewed

WEEK_SECONDS = 7 * 24 * 3600


def make_result(request_id: str = "ab12") -> AsyncPredictResult:
    return AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data={"n": 1})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> HandledStore:
    if request.param == "memory":
        return MemoryHandledStore(clock=clock)
    return SqliteHandledStore(tmp_path / "made" / "handled.sqlite", clock=clock)


def test_a_claim_belongs_to_one_owner_until_it_is_handled(store: HandledStore) -> None:
    assert store.claim("r", "a", seconds=6) == "claimed"
    assert store.claim("r", "b", seconds=6) == "busy"
    assert store.claim("r", "a", seconds=6) == "claimed"
    assert store.claim("other", "b", seconds=6) == "claimed"
    store.finish("r", "a")
    assert store.claim("r", "a", seconds=6) == "handled"
    assert store.claim("r", "b", seconds=6) == "handled"


def test_only_the_owner_gives_a_claim_back(store: HandledStore) -> None:
    store.claim("r", "a", seconds=6)
    store.release("r", "b")
    assert store.claim("r", "b", seconds=6) == "busy"
    store.release("r", "a")
    assert store.claim("r", "b", seconds=6) == "claimed"


def test_a_claim_that_is_not_renewed_runs_out(store: HandledStore, clock: ManualClock) -> None:
    store.claim("r", "a", seconds=6)
    clock.advance(5)
    store.claim("r", "a", seconds=6)
    clock.advance(5)
    assert store.claim("r", "b", seconds=6) == "busy"
    clock.advance(1)
    assert store.claim("r", "b", seconds=6) == "claimed"
    store.finish("r", "b")
    store.release("r", "b")
    assert store.claim("r", "a", seconds=6) == "handled"


def test_what_was_handled_is_remembered_for_a_week(store: HandledStore, clock: ManualClock) -> None:
    store.finish("r", "a")
    clock.advance(WEEK_SECONDS - 1)
    store.finish("later", "a")
    assert store.claim("r", "b", seconds=6) == "handled"
    clock.advance(1)
    store.finish("last", "a")
    assert store.claim("r", "b", seconds=6) == "claimed"
    assert store.claim("later", "b", seconds=6) == "handled"


@pytest.mark.parametrize("hours", [-1, 1, -24 * 365 * 50, 24 * 365 * 50])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_a_claim_and_a_memory_last_as_long_when_the_time_of_day_is_set(
    kind: str, hours: float, tmp_path: Path
) -> None:
    clock = SteppingClock()
    store: HandledStore = MemoryHandledStore(clock=clock)
    if kind == "sqlite":
        store = SqliteHandledStore(tmp_path / "handled.sqlite", clock=clock)
    store.claim("r", "a", seconds=6)
    store.finish("done", "a")
    clock.step(hours)
    clock.advance(5)
    assert store.claim("r", "b", seconds=6) == "busy"
    assert store.claim("done", "b", seconds=6) == "handled"
    clock.advance(1)
    assert store.claim("r", "b", seconds=6) == "claimed"
    store.finish("r", "b")
    assert store.claim("done", "b", seconds=6) == "handled"


def test_a_claim_from_before_the_machine_was_started_anew_is_nobodys(tmp_path: Path) -> None:
    before = ManualClock()
    before.advance(hours=100)
    store = SqliteHandledStore(tmp_path / "handled.sqlite", clock=before)
    store.finish("done", "a")
    store.claim("r", "a", seconds=6)
    # The seconds count from 0 again, the time of day goes on.
    after = ManualClock(before.now())
    anew = SqliteHandledStore(tmp_path / "handled.sqlite", clock=after)
    assert anew.claim("r", "b", seconds=6) == "claimed"
    assert anew.claim("done", "b", seconds=6) == "handled"
    after.advance(hours=7 * 24 + 100)  # the later of both measures
    assert anew.claim("done", "b", seconds=6) == "claimed"


def test_a_file_of_an_earlier_version_is_taken_over(tmp_path: Path, clock: ManualClock) -> None:
    path = tmp_path / "handled.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE TABLE handled (request_id TEXT PRIMARY KEY, owner TEXT, until REAL, is_handled INTEGER)"
        )
        moment = clock.now().timestamp()
        rows = [("done", "a", moment + 100, 1), ("claimed", "a", moment + 100, 0)]
        connection.executemany("INSERT INTO handled VALUES (?, ?, ?, ?)", rows)
        connection.commit()
    store = SqliteHandledStore(path, clock=clock)
    assert store.claim("done", "b", seconds=6) == "handled"
    assert store.claim("claimed", "b", seconds=6) == "claimed"
    assert SqliteHandledStore(path, clock=clock).claim("done", "b", seconds=6) == "handled"


def test_waiting_for_the_outcome_ends_in_time_when_the_time_of_day_is_set_back() -> None:
    class SetBack(SystemClock):
        """Set back by an hour whenever somebody looks."""

        hours = 0

        def now(self) -> datetime:
            self.hours += 1
            return super().now() - timedelta(hours=self.hours)

    store = MemoryHandledStore()
    store.claim("ab12", "somebody", seconds=60)
    with pytest.raises(ResultBusyError):
        Deduplicator(store, wait_seconds=0.2, clock=SetBack()).handle(make_result(), lambda result: None)


def test_a_result_is_handled_once(store: HandledStore, clock: ManualClock) -> None:
    handled: list[AsyncPredictResult] = []
    deduplicator = Deduplicator(store, clock=clock)
    assert deduplicator.handle(make_result(), handled.append)
    assert not deduplicator.handle(make_result(), handled.append)
    assert deduplicator.handle(make_result("another"), handled.append)
    assert [result.request_id for result in handled] == ["ab12", "another"]


def test_a_handler_that_raises_leaves_the_result_to_who_comes_next(store: HandledStore) -> None:
    def fail(result: AsyncPredictResult) -> None:
        raise KeyError("bug")

    deduplicator = Deduplicator(store)
    with pytest.raises(KeyError):
        deduplicator.handle(make_result(), fail)
    assert deduplicator.handle(make_result(), lambda result: None)


def test_who_comes_while_it_is_being_handled_waits_for_the_outcome() -> None:
    deduplicator = Deduplicator()
    entered, leave = threading.Event(), threading.Event()

    def hold(result: AsyncPredictResult) -> None:
        entered.set()
        assert leave.wait(30)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(deduplicator.handle, make_result(), hold)
        assert entered.wait(30)
        second = pool.submit(deduplicator.handle, make_result(), hold)
        leave.set()
        assert (first.result(30), second.result(30)) == (True, False)


def test_waiting_has_an_end_that_makes_the_sender_come_again() -> None:
    store = MemoryHandledStore()
    store.claim("ab12", "somebody", seconds=60)
    with pytest.raises(ResultBusyError, match="'ab12' is still being handled elsewhere"):
        Deduplicator(store, wait_seconds=0).handle(make_result(), lambda result: None)


def test_a_lease_is_renewed_while_work_goes_on() -> None:
    lengths: queue.SimpleQueue[float] = queue.SimpleQueue()
    with renewed(lambda *, seconds: lengths.put(seconds), lease_seconds=0.02):
        assert lengths.get(timeout=30) == 0.02


def test_a_renewal_that_fails_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    twice = threading.Event()

    def renew(*, seconds: float) -> None:
        calls.append("")
        if len(calls) > 1:
            twice.set()
        raise ConnectionError("no store")

    with renewed(renew, lease_seconds=0.02):
        assert twice.wait(30)
    assert caplog.records[0].message == "a claim could not be renewed"


class Ending(BaseException):
    """What ends a thread that catches exceptions."""


def test_whatever_a_store_raises_the_lease_is_renewed_on() -> None:
    outcomes: list[BaseException] = [Ending(), SystemExit(), Ending()]
    renewed_at_last = threading.Event()

    def renew(*, seconds: float) -> None:
        if outcomes:
            raise outcomes.pop()
        renewed_at_last.set()

    with renewed(renew, lease_seconds=0.02):
        assert renewed_at_last.wait(30)


async def handle_later(result: AsyncPredictResult) -> None:
    """Nobody here awaits it."""


def test_a_handler_that_would_not_run_is_refused_and_its_result_stays() -> None:
    deduplicator = Deduplicator()
    with pytest.raises(SettingsError, match=r"handle_later is a coroutine function.*on_result"):
        deduplicator.handle(make_result(), handle_later)
    with pytest.raises(TypeError, match="the handler returned handle_later, which is not awaited here"):
        deduplicator.handle(make_result(), lambda result: handle_later(result))
    handled: list[AsyncPredictResult] = []
    assert deduplicator.handle(make_result(), handled.append)


def test_of_many_threads_one_handles(tmp_path: Path) -> None:
    handled: list[AsyncPredictResult] = []
    deduplicators = [Deduplicator(tmp_path / "handled.sqlite") for _ in range(4)]
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda each: each.handle(make_result(), handled.append), deduplicators * 3))
    assert (outcomes.count(True), len(handled)) == (1, 1)


def test_a_process_that_dies_while_handling_leaves_the_result_to_the_repetition(tmp_path: Path) -> None:
    script = (
        "import os, sys; from datetime import datetime, timezone\n"
        "from truss_async import AsyncPredictResult, Deduplicator\n"
        "result = AsyncPredictResult(request_id='ab12', time=datetime.now(timezone.utc))\n"
        "Deduplicator(sys.argv[1]).handle(result, lambda result: os._exit(7))"
    )
    path = tmp_path / "handled.sqlite"
    died = subprocess.run([sys.executable, "-c", script, path], check=False, timeout=60)
    assert died.returncode == 7
    handled: list[AsyncPredictResult] = []
    later = ManualClock(SYSTEM_CLOCK.now() + timedelta(seconds=LEASE_SECONDS))
    assert Deduplicator(path, clock=later).handle(make_result(), handled.append)
    assert len(handled) == 1
    assert LEASE_SECONDS < WAIT_SECONDS < DELIVERY_TIMEOUT_SECONDS, "or the repetition would come in vain"


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database " * 100)
    with pytest.raises(WebhookReceiverError, match=r"cannot use .*notes\.txt: file is not a database"):
        Deduplicator(path)
    with pytest.raises(WebhookReceiverError, match="cannot use"):
        Deduplicator(path / "below")


def test_the_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "handled.sqlite"
    Deduplicator(path)
    assert path.stat().st_mode & 0o777 == 0o600
