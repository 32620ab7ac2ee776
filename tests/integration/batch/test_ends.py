"""What a request can come to, and where results come from, from one end to the other."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.integration.batch.conftest import QUICK, Files, Served
from tests.unit.cli.conftest import DEADLINE_SECONDS
from truss_async import FaultKind, FaultRule, PlatformClient
from truss_async.client.batch import Batch, BatchEnd, batch_status, put_back_failed
from truss_async.client.batch.group_commits import GroupCommits
from truss_async.client.batch.opening import OpenBatch
from truss_async.errors import ApiKeyRefusedError, OutputStoreError
from truss_async.webhooks import ResultInbox, WebhookReceiver, on_result

Serve = Callable[..., Served]


@contextmanager
def running(files: Files, **options: Any) -> Iterator[list[BatchEnd]]:
    """A batch in a thread of its own; its end is there once the block is left."""
    ends: list[BatchEnd] = []
    thread = Thread(target=lambda: ends.append(files.run(**options)))
    thread.start()
    try:
        yield ends
    finally:
        thread.join(DEADLINE_SECONDS)
    assert ends


def wait_for_queue(url: str, *, queued: int) -> None:
    moment = Event()
    with PlatformClient(url, api_key="k") as client:
        for _ in range(DEADLINE_SECONDS * 50):
            if client.queue_status().num_queued_requests == queued:
                return
            moment.wait(0.02)
    raise AssertionError(f"there were never {queued} queued")


def test_what_expires_says_so_and_a_retry_mends_it(serve: Serve, tmp_path: Path) -> None:
    gate = Event()

    def model(x: int) -> int:
        if x == 0:
            assert gate.wait(DEADLINE_SECONDS)
        return x

    served = serve(model, predict_concurrency=1, virtual_clock=True)
    files = Files(tmp_path, served.url, {"attempts": 1})
    files.write(*({"model_input": x, "max_time_in_queue_seconds": 10} for x in range(4)))
    with running(files) as ends:
        wait_for_queue(served.url, queued=3)
        served.harness.clock.advance(seconds=11)
        gate.set()
    assert (ends[0].progress.done, ends[0].progress.failed) == (1, 3)
    assert {code for code, _ in files.errors().values()} == {"EXPIRED"}
    assert "max_time_in_queue_seconds" in files.errors()["line-2"][1]
    assert put_back_failed(files.ledger, kinds=["expired"]) == 3
    files.run()
    assert (files.results(), files.errors()) == ({f"line-{x + 1}": x for x in range(4)}, {})


def test_what_somebody_canceled_says_so_and_is_not_submitted_again(serve: Serve, tmp_path: Path) -> None:
    gate = Event()
    served = serve(lambda x: gate.wait(DEADLINE_SECONDS) and x, predict_concurrency=1)
    files = Files(tmp_path, served.url)
    files.write(*range(1, 4))
    with running(files) as ends, PlatformClient(served.url, api_key="k") as client:
        wait_for_queue(served.url, queued=2)
        accepted = [call for call in served.harness.requests if call.status == "QUEUED"]
        assert client.cancel(accepted[-1].request_id).canceled
        gate.set()
    assert (ends[0].progress.done, ends[0].progress.failed, ends[0].progress.submissions) == (2, 1, 3)
    ((code, message),) = files.errors().values()
    assert (code, message) == ("CANCELED", "it was canceled while it was queued")


def test_what_the_platform_cannot_answer_now_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    lost = FaultRule(kind=FaultKind.WEBHOOK_DROPPED, nth=1)
    served = serve(lambda x: x, faults=(lost,))
    for status in (429, 503):
        served.front.answer_next("/async_predict", status, passes_on=False)
        served.front.answer_next("/async_request/", status, passes_on=False)
        served.front.answer_next("/async_queue_status", status, passes_on=False)
    files = Files(tmp_path, served.url, {"attempts": 1})
    files.write(1)
    end = files.run()
    ((code, message),) = files.errors().values()
    assert (code, message) == ("LOST", "inference has succeeded, delivery has failed, and no result has come")
    assert (end.progress.submissions, end.progress.rate_limited, end.progress.unanswered) == (1, 1, 0)


def test_a_key_that_is_refused_later_stops_the_batch_and_costs_no_line(serve: Serve, tmp_path: Path) -> None:
    served = serve(lambda x: x)
    files = Files(tmp_path, served.url)
    files.write(*range(5))
    files.run(limit=2)
    served.front.answer_next("/async_predict", 401, passes_on=False)
    with pytest.raises(ApiKeyRefusedError):
        files.run()
    assert batch_status(files.ledger).failed == 0
    files.run()
    assert files.results() == {f"line-{x + 1}": x for x in range(5)}


def test_a_model_that_is_woken_gets_one_request_until_it_works(serve: Serve, tmp_path: Path) -> None:
    gate = Event()

    class Slow:
        def load(self) -> None:
            assert gate.wait(DEADLINE_SECONDS)

        def predict(self, model_input: int) -> int:
            return model_input

    served = serve(Slow, min_replicas=0)
    files = Files(tmp_path, served.url)
    files.write(*range(20))
    ends: list[BatchEnd] = []
    made = Batch(files.settings(), api_key="k", wakes=True, patience=QUICK)
    thread = Thread(target=lambda: ends.append(asyncio.run(made.run())))
    thread.start()
    moment = Event()
    while served.front.calls.count("GET /production/async_queue_status") < 2:
        assert not moment.wait(0.05)
    before = list(served.front.calls)
    gate.set()
    thread.join(DEADLINE_SECONDS)
    assert "POST /production/wake" in before[:2]
    assert before.count("POST /production/async_predict") == 1
    assert ends[0].progress.done == 20


@contextmanager
def received_into(inbox: ResultInbox) -> Iterator[str]:
    """The webhook endpoint of a receiver that hands results to an inbox."""

    def on_delivery(delivery: Any) -> None:
        inbox.accept(delivery.result)

    try:
        with WebhookReceiver(on_delivery=on_delivery) as receiver:
            yield receiver.url
    finally:
        inbox.close()


def test_results_are_found_in_the_file_of_on_result(serve: Serve, tmp_path: Path) -> None:
    handled: list[str] = []
    path = tmp_path / "inbox.sqlite"
    files = Files(tmp_path, serve(lambda x: x).url)
    files.write(*range(8))
    with received_into(on_result(lambda r: handled.append(r.request_id), path=path, keeps=True)) as url:
        files.run(inbox=str(path), webhook_endpoint=url)
    assert files.results() == {f"line-{x + 1}": x for x in range(8)}
    assert len(handled) == 8


def test_an_inbox_that_erases_what_it_has_handled_ends_the_batch_with_the_remedy(
    serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "inbox.sqlite"
    files = Files(tmp_path, serve(lambda x: x).url)
    files.write(1)
    inbox = on_result(lambda _: None, path=path)
    with received_into(inbox) as url, pytest.raises(OutputStoreError, match=r"on_result\(…, keeps=True\)"):
        files.run(inbox=str(path), webhook_endpoint=url)
    assert batch_status(files.ledger).open == 1


def test_full_durability_has_rows_on_the_disk_before_they_are_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path, "http://127.0.0.1:1")
    files.write(1)
    opened = OpenBatch(files.settings(durability="full"))
    events: list[str] = []
    sync = os.fsync

    def noted(descriptor: int) -> None:
        events.append("fsync")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    opened.ledger.connection.set_trace_callback(events.append)

    async def store_a_row() -> None:
        commits = GroupCommits(opened.ledger.connection, files=[opened.results])
        await commits.run(lambda: opened.results.append(b"{}"))
        await commits.close()

    asyncio.run(store_a_row())
    assert events.index("fsync") < events.index("COMMIT")
    level = opened.ledger.connection.execute("PRAGMA synchronous").fetchone()[0]
    opened.results.close()
    opened.lines.close()
    opened.close_ledger()
    assert level == 2  # FULL: the commit itself is on the disk, too


def test_openai_lines_come_back_in_their_order(serve: Serve, tmp_path: Path) -> None:
    files = Files(tmp_path, serve(lambda x: {"id": x["model"]}).url)
    call = {"method": "POST", "url": "/v1/chat/completions"}
    files.write(*({"custom_id": f"request-{x}", **call, "body": {"model": x}} for x in range(12)))
    files.run(ordered=True)
    found = [json.loads(line) for line in files.out.read_text().splitlines()]
    assert [row["custom_id"] for row in found] == [f"request-{x}" for x in range(12)]
    assert [row["response"]["body"] for row in found] == [{"id": x} for x in range(12)]
