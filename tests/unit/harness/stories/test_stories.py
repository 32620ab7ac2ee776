"""The story of a request, and what is found wrong in it."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import SqliteStorage
from truss_async.contract import ErrorDetail, RequestStatus
from truss_async.harness.request_queue import RequestQueueError
from truss_async.harness.stories import Journal, find_problems, render_problems, render_story

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
RAISED = ErrorDetail(code="MODEL_PREDICT_ERROR", message="Internal Server Error (in model/chainlet).")
TRACEBACK = (
    "Traceback (most recent call last):",
    '  File "model.py", line 3, in predict',
    "ValueError: no page",
)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def queue(tmp_path: Path, journal: Journal) -> Iterator[QueueDriver]:
    with QueueDriver(SqliteStorage(tmp_path / "queue.sqlite3"), now=START, journal=journal) as driver:
        yield driver


def story_of(journal: Journal, request_id: str) -> list[str]:
    story = journal.story(request_id)
    assert story is not None
    return [line.strip() for line in render_story(story).splitlines()]


def kinds(journal: Journal) -> dict[str, str]:
    return {problem.kind: problem.message for problem in find_problems(journal)}


def finish(queue: QueueDriver, status: RequestStatus, *errors: ErrorDetail) -> None:
    queue.run(lambda q: q.finish("r", status, attempts=2, data=b"1", errors=list(errors), now=queue.now))


def test_a_story_has_every_transition_attempt_and_delivery_with_its_time(
    queue: QueueDriver, journal: Journal
) -> None:
    queue.enqueue("r")
    queue.now += timedelta(seconds=1.5)
    queue.claim()
    for line in ("working", *TRACEBACK):
        journal.note_line(line, queue.now, request_id="r")
    retry_at = queue.now + timedelta(seconds=1)
    queue.run(lambda q: q.retry_later("r", attempts=1, at=retry_at, errors=[RAISED]))
    queue.run(lambda q: q.resume("r"))
    for line in ("working", *TRACEBACK):
        journal.note_line(line, queue.now, request_id="r")
    finish(queue, RequestStatus.SUCCEEDED)
    queue.claim_deliveries()
    queue.deliver_later("r", seconds=2)
    queue.now += timedelta(seconds=2)
    queue.claim_deliveries()
    queue.deliver("r", status_code=None, is_delivered=False)
    assert not queue.deliver_later("r"), "it is over, and no part of the story"
    assert story_of(journal, "r") == [
        f"async request r of {DEPLOYMENT}: WEBHOOK_FAILED, webhook FAILED",
        "+0.000 s  accepted on 2026-01-01 at 12:00:00 UTC: priority 0, may wait 600 s, webhook to https://example.com/hook",
        "+1.500 s  inference attempt 1 begins",
        "| working",
        *(f"| {line}" for line in TRACEBACK),
        "+1.500 s  inference attempt 1 failed: MODEL_PREDICT_ERROR: Internal Server Error (in model/chainlet).; the next in 1 s",
        "+1.500 s  inference attempt 2 begins",
        "| … the same 4 lines as before, up to",
        "| ValueError: no page",
        "+1.500 s  inference attempt 2 succeeded: SUCCEEDED",
        "+1.500 s  delivery attempt 1: answered 503 (12 ms); the next in 2 s",
        "+3.500 s  delivery attempt 2: connection refused (12 ms); given up",
    ]


@pytest.mark.parametrize("status", ["CANCELED", "EXPIRED"])
def test_what_was_never_started_has_a_story(queue: QueueDriver, journal: Journal, status: str) -> None:
    queue.enqueue("r")
    if status == "CANCELED":
        queue.run(lambda q: q.cancel("r", now=START))
    else:
        queue.run(lambda q: q.expire(now=START + timedelta(hours=1)))
    assert story_of(journal, "r")[0] == f"async request r of {DEPLOYMENT}: {status}, webhook CANCELED"
    assert story_of(journal, "r")[-1].endswith(f"s  {status}")
    assert find_problems(journal) == []


def test_a_request_that_is_refused_by_the_queue_has_no_story(queue: QueueDriver, journal: Journal) -> None:
    queue.run(lambda q: q.close())
    with pytest.raises(RequestQueueError):
        queue.enqueue("r")
    assert journal.stories() == []


def test_a_request_that_is_not_over_is_a_problem(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r")
    assert kinds(journal) == {"unfinished_requests": "request r was left unfinished: it is QUEUED"}
    queue.claim()
    finish(queue, RequestStatus.SUCCEEDED)
    assert kinds(journal) == {"unfinished_requests": "request r was left unfinished: its webhook is PENDING"}


def test_a_webhook_that_is_given_up_is_a_problem(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r")
    queue.claim()
    finish(queue, RequestStatus.SUCCEEDED)
    queue.claim_deliveries()
    queue.deliver("r", status_code=410, is_delivered=False)
    assert kinds(journal) == {"webhook_failures": "the webhook of request r was not delivered"}
    assert find_problems(journal, allowed={"webhook_failures"}) == []


def test_an_exception_of_the_model_is_a_problem_also_when_the_next_attempt_succeeds(
    queue: QueueDriver, journal: Journal
) -> None:
    queue.enqueue("r", webhook=None)
    queue.claim()
    queue.run(lambda q: q.retry_later("r", attempts=1, at=START, errors=[RAISED]))
    finish(queue, RequestStatus.SUCCEEDED)
    assert kinds(journal) == {"model_errors": "the model raised an exception (request r)"}
    for line in TRACEBACK:
        journal.note_line(line, START, request_id="r")
    assert kinds(journal) == {"model_errors": "the model raised ValueError: no page (request r)"}


def test_all_of_an_exceptions_text_is_a_part_of_the_problem(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r", webhook=None)
    queue.claim()
    finish(queue, RequestStatus.FAILED, RAISED)
    *frames, _ = TRACEBACK
    record = [*frames, "", "", "SecretNotFound: ", "Secret 'x' not found.", "  Declare it."]
    for line in record[:-1]:
        journal.note_line(line, START, request_id="r", goes_on=True)
    assert kinds(journal) == {"model_errors": "the model raised an exception (request r)"}, "not half of it"
    journal.note_line(record[-1], START, request_id="r")
    journal.note_line("something else", START, request_id="r")
    told = "the model raised SecretNotFound: Secret 'x' not found. Declare it. (request r)"
    assert kinds(journal) == {"model_errors": told}


def test_an_answer_of_500_that_the_model_gave_itself_is_none(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r", webhook=None)
    queue.claim()
    finish(queue, RequestStatus.FAILED, ErrorDetail(code="MODEL_PREDICT_ERROR", message="out of paper"))
    assert find_problems(journal) == []


def test_a_traceback_outside_of_any_request_is_a_problem(journal: Journal) -> None:
    for line in ("loading", *TRACEBACK):
        journal.note_line(line, START, request_id=None)
    (problem,) = find_problems(journal)
    assert problem.kind == "model_errors"
    assert render_problems([problem]).splitlines() == [
        "the model raised an exception outside of any request:",
        *(f"  | {line}" for line in TRACEBACK),
    ]


def test_problems_of_one_request_tell_its_story_once(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r")
    for line in TRACEBACK:
        journal.note_line(line, START, request_id="r")
    text = render_problems(find_problems(journal))
    assert text.count("request r of") == 1
    assert len(find_problems(journal)) == 2


def test_what_a_model_says_is_bounded(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r")
    for number in range(1000):
        journal.note_line(f"line {number}", START, request_id="r")
    assert story_of(journal, "r")[-2:] == ["| line 199", "| … 800 lines more"]


def test_the_oldest_story_is_forgotten(
    queue: QueueDriver, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.stories.journal.MAX_STORIES", 2)
    for request_id in ("a", "b", "c"):
        queue.enqueue(request_id)
    assert [story.request_id for story in journal.stories()] == ["b", "c"]
    queue.run(lambda q: q.cancel("a", now=START))


def test_whoever_waits_sees_each_change(queue: QueueDriver, journal: Journal) -> None:
    queue.enqueue("r")
    assert not journal.wait_for(lambda: find_problems(journal) == [], timeout_seconds=0)
    canceling = threading.Thread(target=lambda: queue.run(lambda q: q.cancel("r", now=START)))
    canceling.start()
    assert journal.wait_for(lambda: find_problems(journal) == [], timeout_seconds=30)
    canceling.join()
