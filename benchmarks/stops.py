"""How long the harness's event loop stands still at what happens all at once, or to very much, beside when it is idle.

A task of the loop wakes up again and again; the longest time that it was kept from it is the longest stop. Other
processes of the machine stop it, too: so the same is measured while the harness has nothing to do, and of each stop the
processor time that the loop's thread spent in it.
"""

import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from truss_async import Harness, HarnessSettings
from truss_async.clock import ManualClock
from truss_async.contract import limits
from truss_async.harness.housekeeping import STATUS_KEPT
from truss_async.harness.request_queue.accepted import AcceptedRequest
from truss_async.harness.request_queue.schema import bring_up_to_date

from .load import HEADERS
from .report import Figure

AT_ONCE = 50_000
MANY = 1_000_000
SHOWN = 20
REFUSED = 200
BEAT_SECONDS = 0.001
IDLE_SECONDS = 3.0
EXPIRES_AFTER = timedelta(hours=1)
DEPLOYMENT = "local1"
MUST_MS, AIM_MS = 50, 20
BULK = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO requests (
  seq, request_id, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at,
  head_checksum, input_checksum
)
SELECT n, printf('%032x', n), :deployment, 'QUEUED', 'NO_WEBHOOK_PROVIDED', 0, :request, :now, :expires_at, :now, head,
  checksum_on(head, :body)
FROM (
  SELECT n, checksum(printf('%032x', n), :deployment, 0, :request, :now, :expires_at) AS head FROM numbers
)
"""


async def never_answer(_: Any) -> Any:
    """A model that leaves everything behind its first requests in the queue."""
    await asyncio.Event().wait()


@dataclass
class Heartbeat:
    """The longest stop since it was last read, in seconds of the clock, and of processor time."""

    stop: float = 0.0
    busy: float = 0.0

    async def beat(self) -> None:
        """Until cancelled, on the loop that is watched."""
        woke, ran = time.perf_counter(), time.thread_time()
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            before, ran_before = woke, ran
            woke, ran = time.perf_counter(), time.thread_time()
            self.stop = max(self.stop, woke - before - BEAT_SECONDS)
            self.busy = max(self.busy, ran - ran_before)

    def figures(self, what: str) -> list[Figure]:
        """The longest stop since the last time, and what of it was work."""
        stop, busy, self.stop, self.busy = self.stop, self.busy, 0.0, 0.0
        return [
            Figure(
                f"longest stop of the event loop: {what}", 1000 * stop, "ms", MUST_MS, AIM_MS, at_most=True
            ),
            Figure(f"… processor time in one stop: {what}", 1000 * busy, "ms", MUST_MS, AIM_MS, at_most=True),
        ]


def make_queue(file: Path, *, count: int, now: datetime) -> None:
    """A queue file with so many requests, as if each had been accepted."""
    asked = AcceptedRequest.from_json(
        '{"model_id": "local", "chain_id": null, "webhook_endpoint": null, "retry_config": {}}'
    )
    body = b'{"text": "' + b"x" * 200 + b'"}'
    begun = datetime(1970, 1, 1, tzinfo=timezone.utc)
    microsecond = timedelta(microseconds=1)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        bring_up_to_date(connection, file)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        values = {
            "count": count,
            "deployment": DEPLOYMENT,
            "request": asked.to_json(),
            "now": (now - begun) // microsecond,
            "expires_at": (now + EXPIRES_AFTER - begun) // microsecond,
            "body": body,
        }
        connection.execute(BULK, values)
        connection.execute("INSERT INTO model_inputs SELECT seq, :body FROM requests", {"body": body})
        connection.execute("COMMIT")


@contextmanager
def watched(
    folder: Path, *, count: int, **settings: Any
) -> Iterator[tuple[Harness, httpx.Client, Heartbeat]]:
    """A harness with so many queued requests, who calls it, and the heartbeat of its event loop; it is idle by then."""
    folder.mkdir(mode=0o700)
    make_queue(folder / "queue.sqlite3", count=count, now=datetime.now(timezone.utc))
    options = {
        "model": never_answer,
        "model_id": "local",
        "adopt": True,
        "port": 0,
        "state_dir": folder,
        "virtual_clock": True,
        **settings,
    }
    heartbeat = Heartbeat()
    with Harness(HarnessSettings(**options), stories=False, report=print) as harness:
        harness.wait_ready(timeout_seconds=60)
        harness._thread.run(_begin(heartbeat))
        with httpx.Client(base_url=harness.url, headers=HEADERS, timeout=600) as http:
            queued = http.get("/production/async_queue_status").json()
            assert sum(queued[f"num_{what}_requests"] for what in ("queued", "in_progress")) == count
            yield harness, http, heartbeat


_beating: list[asyncio.Task[None]] = []


async def _begin(heartbeat: Heartbeat) -> None:
    _beating[:] = [asyncio.ensure_future(heartbeat.beat())]


def idle(heartbeat: Heartbeat, what: str) -> list[Figure]:
    """What the heartbeat shows while nothing is asked for."""
    heartbeat.figures("")
    time.sleep(IDLE_SECONDS)
    stop, busy = heartbeat.figures("")
    return [
        Figure(f"longest stop, idle: {what}", stop.value, "ms"),
        Figure(f"… processor time in one stop, idle: {what}", busy.value, "ms"),
    ]


def expire_and_forget(folder: Path) -> list[Figure]:
    """All at one moment of a virtual clock."""
    with watched(folder / "expire", count=AT_ONCE, limits="none") as (harness, http, heartbeat):
        clock = harness.clock
        assert isinstance(clock, ManualClock)
        figures = idle(heartbeat, "50,000 queued")
        clock.advance(EXPIRES_AFTER.total_seconds() + 1, patience_seconds=0)
        figures += heartbeat.figures("50,000 expire at once")
        assert http.get("/production/async_queue_status").json()["num_queued_requests"] == 0
        status = f"/_harness/requests/{AT_ONCE:032x}"
        assert http.get(status).json()["status"] == "EXPIRED"
        heartbeat.figures("")
        clock.advance(STATUS_KEPT.total_seconds() + 1, patience_seconds=0)
        figures += heartbeat.figures("50,000 are forgotten at once")
        assert http.get(status).status_code == 404
    return figures


def many_kept(folder: Path) -> list[Figure]:
    """What shows how many there are."""
    with watched(folder / "many", count=MANY, limits="none") as (_, http, heartbeat):
        figures = idle(heartbeat, "1,000,000 queued")
        for path, what in {"/metrics": "/metrics", "/production/async_queue_status": "queue status"}.items():
            taken = [_milliseconds(partial(http.get, path)) for _ in range(SHOWN)]
            figures += heartbeat.figures(f"{what} with 1,000,000 queued")
            figures.append(Figure(f"… one answer: {what}", statistics.median(taken), "ms"))
    return figures


def refused(folder: Path) -> list[Figure]:
    """What a caller costs who is answered 429."""

    def refuse() -> None:
        answer = http.post("/production/async_predict", json={"model_input": 1})
        assert answer.status_code == 429
        assert str(limits.MAX_OPEN_REQUESTS) in answer.text, answer.text

    with watched(folder / "refused", count=limits.MAX_OPEN_REQUESTS) as (_, http, heartbeat):
        figures = idle(heartbeat, "50,000 open")
        taken = [_milliseconds(refuse) for _ in range(REFUSED)]
        figures += heartbeat.figures("a refusal at the limit of 50,000 open")
        figures.append(Figure("… one answer: a refusal", statistics.median(taken), "ms"))
    return figures


def _milliseconds(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - started)


def measure() -> list[Figure]:
    """Every figure, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        return [figure for part in (expire_and_forget, many_kept, refused) for figure in part(Path(name))]
