from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pytest
import pytest_asyncio

from tests.unit.harness.scripted import ScriptedAnswer, ScriptedPool, ScriptedReplica, settle
from tests.unit.harness.stage import ENDPOINT, FULL_DISK, Stage, accepted
from truss_async.contract import ErrorDetail, RequestStatus
from truss_async.contract.headers import REQUEST_ID
from truss_async.harness.decisions import MAX_INTERRUPTIONS
from truss_async.harness.delivery_slots import MAX_IN_FLIGHT_PER_ENDPOINT
from truss_async.harness.dispatcher import Dispatcher
from truss_async.harness.faults import FaultyCalls, StoreGates
from truss_async.harness.inference import Inference
from truss_async.harness.request_queue import ClaimedRequest, NewRequest, RequestQueueError, WaitingRetry
from truss_async.harness.request_queue.patience import LONGEST_PAUSE_SECONDS, PAUSE_SECONDS
from truss_async.replicas.protocol import ReplicaUnreachableError
from truss_async.replicas.request_headers import RequestHeaders

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.unit.harness.scripted import Call
    from truss_async.replicas.pool import ReplicaPool

pytestmark = pytest.mark.asyncio

OK = ScriptedAnswer()


class DispatcherStage(Stage):
    """A dispatcher of one deployment, whose pool has so many free slots."""

    def __init__(self, *, free: int = 1) -> None:
        super().__init__()
        work = asyncio.Event()
        self.model = ScriptedReplica()
        self.pool = ScriptedPool(self.model, free=free, on_capacity=work.set)
        gates = StoreGates(self.faults, is_on=False, has_processes=False, report=self.reports.append)
        self.dispatcher = Dispatcher(
            "d1",
            queue=self.request_queue,
            pool=cast("ReplicaPool", self.pool),
            activity=self.activity,
            inference=Inference(
                "d1",
                activity=self.activity,
                headers=RequestHeaders(),
                faulty=FaultyCalls("d1", faults=self.faults, gates=gates),
            ),
            metrics=self.metrics.of("d1"),
            report=self.reports.append,
            work=work,
            delivery=self.delivery,
        )

    def claimed(
        self,
        request_id: str = "r1",
        *,
        endpoint: str | None = None,
        max_attempts: int = 3,
        attempts_made: int = 0,
    ) -> ClaimedRequest:
        """A request that is in progress, five seconds after it was accepted."""
        return ClaimedRequest(
            request_id,
            accepted(endpoint, max_attempts=max_attempts),
            priority=0,
            model_input=b"1",
            attempts_made=attempts_made,
            created_at=self.now - timedelta(seconds=5),
            order=1,
        )

    async def claims(self, *requests: ClaimedRequest) -> Call:
        """Give these to the dispatcher when it asks for requests."""
        claim = await self.queue.takes("claim", take_over=[])
        claim.answer(list(requests))
        await settle()
        return claim

    async def runs(self, request: ClaimedRequest, answer: ScriptedAnswer | BaseException) -> None:
        """Let it claim the request, and the model answer."""
        await self.claims(request)
        await self.answers(answer)

    async def answers(self, answer: ScriptedAnswer | BaseException) -> None:
        call = await self.model.takes("call")
        if isinstance(answer, BaseException):
            call.fail(answer)
        else:
            call.answer(answer)
        await settle()

    async def fails(self, request: ClaimedRequest) -> None:
        """Let it run the request, the model fail, and a retry follow."""
        await self.runs(request, ScriptedAnswer(500))
        (await self.queue.takes("retry_later")).answer(True)
        await settle()


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[DispatcherStage]:
    """Every slot of a replica that was taken is given back in the end."""
    made = DispatcherStage()
    async with made.running(made.dispatcher):
        yield made
    assert made.pool.taken == 0


# Claims and slots.


async def test_as_many_are_claimed_and_started_as_there_are_slots(stage: DispatcherStage) -> None:
    stage.pool.free = 3
    claim = await stage.claims(stage.claimed("r1"), stage.claimed("r2"))
    assert claim.said == {"deployment_id": "d1", "limit": 3, "now": stage.now}
    calls = await stage.model.takes_all("call")
    assert [call.said["headers"][REQUEST_ID] for call in calls] == ["r1", "r2"]
    assert {(call.said["headers"]["Content-Type"], call.said["body"]) for call in calls} == {
        ("application/json", b"1")
    }
    assert (stage.pool.taken, stage.pool.free) == (2, 1)


async def test_without_a_slot_nothing_is_claimed(stage: DispatcherStage) -> None:
    stage.pool.free = 0
    (await stage.queue.takes("take_over")).answer([])
    await settle()
    assert stage.queue.open == []
    stage.pool.gain(1)
    await settle()
    assert stage.queue.open == ["claim"]


@pytest.mark.parametrize("found", [0, 1])
async def test_a_request_that_is_queued_while_a_claim_commits_is_claimed_next(
    stage: DispatcherStage, found: int
) -> None:
    """The claim may have been made before it was there: nobody else will say that it is."""
    stage.pool.free = 2
    claim = await stage.queue.takes("claim", take_over=[])
    stage.dispatcher.note_queued()
    claim.answer([stage.claimed()][:found])
    again = await stage.queue.takes("claim")
    assert again.said["limit"] == 2 - found


async def test_a_request_that_is_queued_while_the_start_is_read_is_claimed(stage: DispatcherStage) -> None:
    waiting = await stage.queue.takes("take_over")
    stage.dispatcher.note_queued()
    waiting.answer([])
    await stage.claims(stage.claimed())
    assert stage.model.open == ["call"]


async def test_a_slot_that_becomes_free_while_a_claim_commits_is_claimed_for(stage: DispatcherStage) -> None:
    claim = await stage.queue.takes("claim", take_over=[])
    stage.pool.gain(1)
    claim.answer([stage.claimed()])
    assert (await stage.queue.takes("claim")).said["limit"] == 1


async def test_a_queue_that_was_emptied_is_not_asked_until_a_request_is_queued(
    stage: DispatcherStage,
) -> None:
    stage.pool.free = 2
    await stage.claims(stage.claimed())
    stage.pool.gain(1)
    await stage.answers(OK)
    assert stage.queue.open == ["finish"]
    stage.dispatcher.note_queued()
    await settle()
    assert stage.queue.open == ["finish", "claim"]


async def test_a_queue_that_gave_as_much_as_was_asked_is_asked_again(stage: DispatcherStage) -> None:
    await stage.claims(stage.claimed())
    assert stage.queue.open == []
    await stage.answers(OK)
    assert sorted(stage.queue.open) == ["claim", "finish"]


async def test_a_slot_is_free_while_what_was_computed_is_recorded(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(), OK)
    finish = await stage.queue.takes("finish")
    await stage.claims(stage.claimed("r2"))
    assert (stage.model.open, finish.is_called_off) == (["call"], False)


async def test_how_long_a_request_was_queued_is_measured_at_its_first_attempt_only(
    stage: DispatcherStage,
) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    await stage.pass_time(1)
    (await stage.queue.takes("resume")).answer(stage.claimed(attempts_made=1))
    await settle()
    assert stage.counted("baseten_time_in_async_queue_seconds_count") == 1
    assert stage.counted("baseten_time_in_async_queue_seconds_sum") == 5


# What becomes of a request.


async def test_an_output_is_kept_and_handed_to_the_delivery_at_once(stage: DispatcherStage) -> None:
    request = stage.claimed(endpoint=ENDPOINT)
    await stage.claims(request)
    await stage.pass_time(3)
    await stage.answers(OK)
    finish = await stage.queue.takes("finish", claim=[])
    assert finish.said == {
        "request_id": "r1",
        "status": RequestStatus.SUCCEEDED,
        "attempts": 1,
        "data": b'{"a":1}',
        "errors": [],
        "now": stage.now,
        "is_claimed": True,
    }
    assert (stage.endpoints.open, stage.counted("baseten_inference_requests_total")) == ([], 0)
    stage.pool.demand_changed.clear()
    finish.answer(True)
    assert b'"data":{"a":1}' in (await stage.endpoints.takes("post")).said["data"]
    assert stage.counted("baseten_inference_requests_total", status="200", is_async="true") == 1
    assert stage.counted("baseten_end_to_end_response_time_seconds_sum") == 8
    assert stage.counted("baseten_response_size_bytes_sum") == 7
    assert stage.pool.demand_changed.is_set()


async def test_without_a_webhook_nothing_is_sent(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(), OK)
    finish = await stage.queue.takes("finish", claim=[])
    assert finish.said["is_claimed"] is False
    finish.answer(True)
    await settle()
    assert (stage.endpoints.open, stage.queue.open) == ([], [])


async def test_of_a_request_that_is_over_already_nothing_is_sent_or_counted(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(endpoint=ENDPOINT), OK)
    (await stage.queue.takes("finish", claim=[])).answer(False)
    await settle()
    assert (stage.endpoints.open, stage.counted("baseten_inference_requests_total")) == ([], 0)


async def test_a_result_without_a_slot_is_left_to_the_queue(stage: DispatcherStage) -> None:
    with ExitStack() as held:
        for _ in range(MAX_IN_FLIGHT_PER_ENDPOINT):
            held.enter_context(stage.delivery.slot_for(ENDPOINT))
        await stage.runs(stage.claimed(endpoint=ENDPOINT), OK)
        finish = await stage.queue.takes("finish", claim=[])
        assert finish.said["is_claimed"] is False
        delivering = stage.activity.start(stage.delivery.run())
        (await stage.queue.takes("next_delivery", release_deliveries=0, claim_deliveries=[])).answer(None)
        await settle()
        finish.answer(True)
        await settle()
    assert (stage.queue.open, stage.endpoints.open) == (["claim_deliveries"], [])
    delivering.cancel()
    await asyncio.wait([delivering])


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ScriptedAnswer(500, b'{"error":"no memory"}'), "MODEL_PREDICT_ERROR"),
        (ReplicaUnreachableError("refused"), "MODEL_UNAVAILABLE"),
        (ScriptedAnswer(error=ReplicaUnreachableError("broke off")), "MODEL_UNAVAILABLE"),
        (RuntimeError("a bug"), "INTERNAL_SERVER_ERROR"),
    ],
    ids=["an error", "unreachable", "an answer that breaks off", "an attempt that breaks"],
)
async def test_a_failed_attempt_is_made_again_until_there_have_been_as_many_as_it_may_have(
    stage: DispatcherStage, answer: ScriptedAnswer | Exception, code: str
) -> None:
    for made, seconds in ((0, 1), (1, 2)):
        if made == 0:
            await stage.runs(stage.claimed(), answer)
        else:
            await stage.answers(answer)
        later = await stage.queue.takes("retry_later", claim=[])
        assert (later.said["request_id"], later.said["attempts"]) == ("r1", made + 1)
        assert later.said["at"] == stage.now + timedelta(seconds=seconds)
        assert [error.code for error in later.said["errors"]] == [code]
        later.answer(True)
        await stage.pass_time(seconds - 0.001)
        assert stage.queue.open == []
        await stage.pass_time(0.001)
        resume = await stage.queue.takes("resume")
        assert resume.said == {"request_id": "r1"}
        resume.answer(stage.claimed(attempts_made=made + 1))
    await stage.answers(answer)
    finish = (await stage.queue.takes("finish")).said
    assert (finish["status"], finish["attempts"], finish["data"]) == (RequestStatus.FAILED, 3, None)
    assert [error.code for error in finish["errors"]] == [code]
    assert [line for line in stage.reports if "a bug" in line or "harness itself" in line] == stage.reports


async def test_what_no_retry_can_mend_fails_at_once(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(), ScriptedAnswer(422))
    finish = (await stage.queue.takes("finish", claim=[])).said
    assert (finish["status"], finish["errors"][0].code) == (RequestStatus.FAILED, "MODEL_INVALID_INPUT")


async def test_a_failure_is_delivered_and_counted_under_its_status(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(endpoint=ENDPOINT), ScriptedAnswer(422))
    (await stage.queue.takes("finish", claim=[])).answer(True)
    assert b"MODEL_INVALID_INPUT" in (await stage.endpoints.takes("post")).said["data"]
    assert stage.counted("baseten_inference_requests_total", status="422") == 1
    assert stage.counted("baseten_response_size_bytes_count") == 0


async def test_a_model_that_is_busy_is_asked_again_without_counting_an_attempt(
    stage: DispatcherStage,
) -> None:
    await stage.runs(stage.claimed(attempts_made=2), ScriptedAnswer(429))
    later = (await stage.queue.takes("retry_later", claim=[])).said
    assert (later["attempts"], later["errors"], later["at"]) == (2, [], stage.now + timedelta(seconds=1))


async def test_an_attempt_has_so_long_and_then_the_model_is_left(stage: DispatcherStage) -> None:
    await stage.claims(stage.claimed())
    call = await stage.model.takes("call")
    await stage.pass_time(3599.999)
    assert not call.is_called_off
    await stage.pass_time(0.001)
    assert call.is_called_off
    (error,) = (await stage.queue.takes("retry_later", claim=[])).said["errors"]
    assert (error.code, error.message) == (
        "MODEL_PREDICT_TIMEOUT",
        "the inference attempt took longer than 1 h",
    )


@pytest.mark.parametrize(
    ("answer", "is_read"),
    [
        (ScriptedAnswer(content_type="text/event-stream", has_length=False), False),
        (ScriptedAnswer(content_type="application/json", has_length=False), True),
        (ScriptedAnswer(content_type="text/plain"), True),
        (ScriptedAnswer(300, content_type="text/plain", has_length=False), True),
        (ScriptedAnswer(299, content_type="text/plain", has_length=False), False),
        (ScriptedAnswer(error=ReplicaUnreachableError("broke off")), True),
    ],
)
async def test_an_answer_is_let_go_of_and_a_stream_is_not_read(
    stage: DispatcherStage, answer: ScriptedAnswer, is_read: bool
) -> None:
    await stage.runs(stage.claimed(), answer)
    assert (answer.is_read, answer.is_closed) == (is_read, True)


@pytest.mark.parametrize(
    ("kind", "code"), [("model_503", "MODEL_UNAVAILABLE"), ("model_hang", "MODEL_PREDICT_TIMEOUT")]
)
async def test_a_fault_strikes_the_attempt_that_it_names_in_the_place_of_the_model(
    stage: DispatcherStage, kind: str, code: str
) -> None:
    stage.set_fault(kind, attempt=2)
    await stage.claims(stage.claimed(attempts_made=1))
    await stage.pass_time(3600 if kind == "model_hang" else 0)
    later = await stage.queue.takes("retry_later", claim=[])
    assert ([error.code for error in later.said["errors"]], stage.model.open) == ([code], [])
    later.answer(True)
    await stage.pass_time(2)
    (await stage.queue.takes("resume")).answer(stage.claimed(attempts_made=2))
    await settle()
    assert stage.model.open == ["call"]


# What begins when it comes.


async def calm(stage: DispatcherStage) -> None:
    """Let it find that nothing is queued."""
    await stage.claims()
    assert stage.queue.open == []


def enter(stage: DispatcherStage, request_id: str = "new") -> asyncio.Task[bool]:
    new = NewRequest(request_id, "d1", accepted(None), b"1", 0, stage.now, stage.now + timedelta(hours=1))
    return asyncio.create_task(stage.dispatcher.enter(new))


async def test_a_request_that_finds_nothing_before_it_begins_at_once(stage: DispatcherStage) -> None:
    await calm(stage)
    entering = enter(stage)
    (await stage.queue.takes("begin")).answer(stage.claimed("new"))
    assert await entering is False
    await stage.answers(OK)
    assert (await stage.queue.takes("finish")).said["request_id"] == "new"


async def test_without_a_slot_it_is_queued_and_claimed_when_there_is_one(stage: DispatcherStage) -> None:
    await calm(stage)
    stage.pool.free = 0
    entering = enter(stage)
    (await stage.queue.takes("enqueue")).answer(None)
    assert await entering is True
    stage.pool.gain(1)
    assert (await stage.queue.takes("claim")).said["limit"] == 1


async def test_nothing_overtakes_what_is_being_queued(stage: DispatcherStage) -> None:
    await calm(stage)
    stage.pool.free = 0
    first = enter(stage, "first")
    await settle()
    stage.pool.free = 1
    second = enter(stage, "second")
    await settle()
    assert stage.queue.open == ["enqueue", "enqueue"]
    for call in await stage.queue.takes_all("enqueue"):
        call.answer(None)
    assert (await first, await second) == (True, True)


async def test_once_a_claim_is_on_its_way_that_takes_all_the_next_one_begins_at_once(
    stage: DispatcherStage,
) -> None:
    await calm(stage)
    stage.pool.free = 0
    entering = enter(stage, "first")
    (await stage.queue.takes("enqueue")).answer(None)
    await entering
    stage.pool.gain(2)
    claim = await stage.queue.takes("claim")
    second = enter(stage, "second")
    (await stage.queue.takes("begin")).answer(stage.claimed("second"))
    assert await second is False
    claim.answer([stage.claimed("first")])
    calls = await stage.model.takes_all("call")
    assert sorted(call.said["headers"][REQUEST_ID] for call in calls) == ["first", "second"]


@pytest.mark.parametrize("in_the_way", ["paused", "a retry is due", "others queued something"])
async def test_it_is_queued_when_something_goes_before_it(stage: DispatcherStage, in_the_way: str) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    if in_the_way == "paused":
        stage.dispatcher.pause()
    elif in_the_way == "a retry is due":
        stage.clock.advance(1)
    else:
        stage.dispatcher.note_queued()
    entering = enter(stage)
    (await stage.queue.takes("enqueue")).answer(None)
    assert await entering is True


async def test_a_begin_that_a_full_disk_refuses_is_told_and_its_slot_given_back(
    stage: DispatcherStage,
) -> None:
    await calm(stage)
    entering = enter(stage)
    (await stage.queue.takes("begin")).fail(RequestQueueError("the disk is full"))
    with pytest.raises(RequestQueueError, match="full"):
        await entering
    assert (stage.pool.taken, stage.pool.free) == (0, 1)


async def test_where_there_are_others_it_is_queued_after_all(stage: DispatcherStage) -> None:
    await calm(stage)
    entering = enter(stage)
    (await stage.queue.takes("begin")).answer(None)
    assert await entering is True
    assert (await stage.queue.takes("claim")).said["limit"] == 1


async def test_whoever_submits_may_go_away_and_it_runs_all_the_same(stage: DispatcherStage) -> None:
    await calm(stage)
    entering = enter(stage)
    begin = await stage.queue.takes("begin")
    entering.cancel()
    await asyncio.wait([entering])
    begin.answer(stage.claimed("new"))
    await settle()
    assert stage.model.open == ["call"]


async def test_what_begins_while_it_ends_is_left_in_progress_for_the_next_start() -> None:
    stage = DispatcherStage()
    async with stage.running(stage.dispatcher):
        await calm(stage)
        entering = enter(stage)
        begin = await stage.queue.takes("begin")

        async def answer_late() -> None:
            await settle()
            begin.answer(stage.claimed("new"))

        answering = asyncio.create_task(answer_late())
    await answering
    assert await entering is False
    assert (stage.pool.taken, stage.model.open) == (0, [])


# Retries.


async def test_a_retry_goes_before_what_is_queued(stage: DispatcherStage) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    stage.pool.free = 0
    stage.dispatcher.note_queued()
    await stage.pass_time(1)
    assert stage.queue.open == []
    stage.pool.gain(2)
    (await stage.queue.takes("resume")).answer(stage.claimed(attempts_made=1))
    assert (await stage.queue.takes("claim")).said["limit"] == 1
    assert stage.model.open == ["call"]


async def test_a_retry_that_is_due_without_a_slot_waits_for_one_without_looking_all_the_time(
    stage: DispatcherStage,
) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    stage.pool.free = 0
    await stage.pass_time(1)
    looks = stage.pool.looks
    await stage.pass_time(60)
    assert stage.pool.looks == looks
    stage.pool.gain(1)
    await settle()
    assert stage.queue.open == ["resume"]


async def test_a_retry_that_falls_due_while_a_claim_commits_is_made_when_a_slot_is_left(
    stage: DispatcherStage,
) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    stage.dispatcher.note_queued()
    claim = await stage.queue.takes("claim")
    await stage.pass_time(1)
    claim.answer([])
    await settle()
    assert stage.queue.open == ["resume"]


async def test_of_retries_that_are_due_as_many_are_made_as_there_are_slots(stage: DispatcherStage) -> None:
    (await stage.queue.takes("take_over")).answer([WaitingRetry(name, 0, None) for name in ("r1", "r2")])
    resume = await stage.queue.takes("resume", claim=[])
    stage.dispatcher.note_queued()
    resume.answer(stage.claimed("r1"))
    await settle()
    assert stage.queue.open == []
    await stage.answers(OK)
    assert (await stage.queue.takes("resume")).said["request_id"] == "r2"


async def test_a_retry_of_what_is_over_is_left_out(stage: DispatcherStage) -> None:
    stage.pool.free = 2
    await stage.fails(stage.claimed("r1"))
    stage.dispatcher.note_queued()
    await stage.fails(stage.claimed("r2"))
    await stage.pass_time(1)
    resume = await stage.queue.takes("resume", claim=[])
    stage.dispatcher.note_queued()
    resume.answer(None)
    other = await stage.queue.takes("resume")
    assert (resume.said["request_id"], other.said["request_id"]) == ("r1", "r2")
    other.answer(None)
    await stage.claims()
    assert (stage.queue.open, stage.pool.taken) == ([], 0)


async def test_retries_are_made_by_time_then_priority_then_age(stage: DispatcherStage) -> None:
    waiting = [("late", 0, 2), ("low", 2, 1), ("high", 0, 1), ("low, younger", 2, 1)]
    (await stage.queue.takes("take_over")).answer(
        [WaitingRetry(name, priority, stage.now + timedelta(seconds=at)) for name, priority, at in waiting]
    )
    await stage.claims()
    await stage.pass_time(2)
    order = []
    while stage.queue.open:
        resume = await stage.queue.takes("resume")
        order.append(resume.said["request_id"])
        resume.answer(None)
        await settle()
    assert order == ["high", "low", "low, younger", "late"]


async def test_what_was_in_progress_at_the_start_is_taken_up_when_its_time_has_come(
    stage: DispatcherStage,
) -> None:
    stage.pool.free = 2
    later = stage.now + timedelta(seconds=60)
    (await stage.queue.takes("take_over")).answer(
        [WaitingRetry("at once", 0, None), WaitingRetry("later", 0, later)]
    )
    resume = await stage.queue.takes("resume", claim=[])
    assert resume.said["request_id"] == "at once"
    resume.answer(stage.claimed("at once"))
    await stage.claims()
    await stage.pass_time(59)
    assert (stage.model.open, stage.queue.open) == (["call"], [])
    await stage.pass_time(1)
    assert (await stage.queue.takes("resume")).said["request_id"] == "later"


async def test_a_damaged_request_is_not_run_and_fails_with_its_reason(stage: DispatcherStage) -> None:
    damaged = stage.claimed(endpoint=ENDPOINT)._replace(damage="the model input was damaged")
    await stage.claims(damaged)
    finish = await stage.queue.takes("finish")
    assert stage.model.open == []
    assert finish.said["status"] is RequestStatus.FAILED
    assert finish.said["errors"] == [
        ErrorDetail(code="INTERNAL_SERVER_ERROR", message="the model input was damaged")
    ]


async def test_what_was_run_when_the_process_ended_lets_others_go_first_and_goes_alone(
    stage: DispatcherStage,
) -> None:
    stage.pool.free = 3
    suspects = [WaitingRetry(name, 0, None, times) for name, times in (("twice", 2), ("once", 1), ("one", 1))]
    (await stage.queue.takes("take_over")).answer(suspects)
    await stage.claims(stage.claimed("queued"))
    resume = await stage.queue.takes("resume")
    assert resume.said["request_id"] == "once"
    resume.answer(stage.claimed("once")._replace(interruptions=1))
    await settle()
    assert (stage.model.open, stage.queue.open) == (["call", "call"], [])
    await stage.answers(OK)
    await stage.answers(OK)
    (await stage.queue.takes("finish")).answer(True)
    (await stage.queue.takes("finish")).answer(True)
    assert (await stage.queue.takes("resume", claim=[])).said["request_id"] == "one"


async def test_what_was_run_when_the_process_ended_waits_a_minute_for_others_at_most(
    stage: DispatcherStage,
) -> None:
    (await stage.queue.takes("take_over")).answer([WaitingRetry("suspect", 0, None, 1)])
    await stage.claims(stage.claimed("queued"))
    stage.dispatcher.note_queued()
    await stage.pass_time(60)
    await stage.answers(OK)
    await stage.queue.takes("resume", finish=True)


async def test_what_ends_the_process_each_time_fails_in_the_end(stage: DispatcherStage) -> None:
    (await stage.queue.takes("take_over")).answer([WaitingRetry("r1", 0, None, MAX_INTERRUPTIONS)])
    resume = await stage.queue.takes("resume", claim=[])
    resume.answer(stage.claimed()._replace(interruptions=MAX_INTERRUPTIONS))
    finish = await stage.queue.takes("finish")
    assert stage.model.open == []
    assert [each.code for each in finish.said["errors"]] == ["MODEL_UNAVAILABLE"]
    assert "stopped 3 times" in finish.said["errors"][0].message


# What others own.


async def test_what_others_left_is_gone_on_with_whenever_it_is_found(stage: DispatcherStage) -> None:
    await stage.claims()
    looking = stage.activity.start(stage.dispatcher.take_over())
    take_over = await stage.queue.takes("take_over")
    assert take_over.said == {"deployment_id": "d1", "now": stage.now}
    take_over.answer([WaitingRetry("r1", 0, None)])
    (await stage.queue.takes("resume")).answer(stage.claimed())
    await settle()
    assert (stage.model.open, looking.done()) == (["call"], True)


async def test_when_others_are_looked_after_what_they_queued_is_claimed_too(stage: DispatcherStage) -> None:
    await stage.claims()
    stage.activity.start(stage.dispatcher.take_over())
    (await stage.queue.takes("take_over")).answer([])
    await stage.queue.takes("claim")


async def test_what_is_dropped_is_broken_off_and_its_slots_go_to_what_is_claimed_next(
    stage: DispatcherStage,
) -> None:
    stage.pool.free = 2
    await stage.claims(stage.claimed("r1"), stage.claimed("r2"))
    first, second = await stage.model.takes_all("call")
    first.answer(OK)
    finish = await stage.queue.takes("finish")
    stage.dispatcher.drop()
    await settle()
    assert (second.is_called_off, finish.is_called_off) == (True, True)
    await stage.claims(stage.claimed("r3"))
    assert stage.model.open == ["call"]
    assert (await stage.queue.takes("claim")).said["limit"] == 1


async def test_no_retry_is_made_of_what_was_dropped(stage: DispatcherStage) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    stage.dispatcher.drop()
    await stage.claims()
    await stage.pass_time(60)
    assert stage.queue.open == []


async def test_no_retry_is_made_of_what_others_took_over(stage: DispatcherStage) -> None:
    await stage.runs(stage.claimed(), ScriptedAnswer(500))
    (await stage.queue.takes("retry_later", claim=[])).answer(False)
    await stage.pass_time(60)
    assert stage.queue.open == []


async def test_what_is_dropped_while_a_claim_commits_does_not_make_it_believe_that_nothing_is_queued(
    stage: DispatcherStage,
) -> None:
    """The claim of an owner that is one no longer finds nothing, whatever is queued."""
    claim = await stage.queue.takes("claim", take_over=[])
    stage.dispatcher.drop()
    claim.answer([])
    await stage.queue.takes("claim")


# Pauses.


async def test_while_it_is_paused_nothing_is_claimed_and_no_retry_is_made(stage: DispatcherStage) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    stage.dispatcher.pause()
    stage.dispatcher.note_queued()
    await stage.pass_time(1)
    looks = stage.pool.looks
    await stage.pass_time(60)
    assert (stage.queue.open, stage.pool.taken, stage.pool.looks) == ([], 0, looks)
    stage.dispatcher.resume()
    await stage.queue.takes("resume")


async def test_what_runs_when_it_is_paused_is_recorded(stage: DispatcherStage) -> None:
    await stage.claims(stage.claimed())
    stage.dispatcher.pause()
    await stage.answers(OK)
    assert stage.queue.open == ["finish"]


@pytest.mark.parametrize("at", ["claim", "resume"])
async def test_what_is_claimed_when_it_is_paused_is_not_lost_and_nothing_else_is_begun(
    stage: DispatcherStage, at: str
) -> None:
    stage.pool.free = 3
    now = [WaitingRetry("r1", 0, None), WaitingRetry("r2", 0, None)] if at == "resume" else []
    (await stage.queue.takes("take_over")).answer(now)
    call = await stage.queue.takes(at)
    stage.dispatcher.pause()
    call.answer(stage.claimed() if at == "resume" else [stage.claimed()])
    stage.dispatcher.note_queued()
    await stage.pass_time(60)
    assert stage.queue.open == []
    stage.dispatcher.resume()
    await settle()
    assert (stage.model.open, len(stage.queue.open)) == (["call"], 1)


# When the queue fails.


async def test_a_claim_that_a_full_disk_refuses_is_made_again_and_meanwhile_no_slot_is_held(
    stage: DispatcherStage,
) -> None:
    for _ in range(3):
        (await stage.queue.takes("claim", take_over=[])).fail(RequestQueueError(FULL_DISK))
        await settle()
        assert (stage.pool.taken, stage.queue.open) == (0, [])
        await stage.pass_time(PAUSE_SECONDS)
    await stage.claims(stage.claimed())
    assert (stage.reports, stage.model.open) == ([FULL_DISK], ["call"])


async def test_a_start_that_a_full_disk_refuses_is_made_again(stage: DispatcherStage) -> None:
    await stage.refuse("take_over", times=3)
    (await stage.queue.takes("take_over")).answer([WaitingRetry("r1", 0, None)])
    await stage.queue.takes("resume", claim=[])
    assert stage.reports == [FULL_DISK]


async def test_a_retry_that_a_full_disk_refuses_is_not_lost(stage: DispatcherStage) -> None:
    await stage.fails(stage.claimed())
    await stage.claims()
    await stage.pass_time(1)
    await stage.refuse("resume", times=3)
    (await stage.queue.takes("resume")).answer(stage.claimed(attempts_made=1))
    await settle()
    assert (stage.reports, stage.model.open, stage.pool.taken) == ([FULL_DISK], ["call"], 1)


@pytest.mark.parametrize(("name", "status"), [("finish", 200), ("retry_later", 500)])
async def test_what_was_computed_is_recorded_when_there_is_room_and_not_computed_again(
    stage: DispatcherStage, name: str, status: int
) -> None:
    await stage.runs(stage.claimed(), ScriptedAnswer(status))
    await stage.claims()
    first = await stage.queue.takes(name)
    first.fail(RequestQueueError(FULL_DISK))
    await stage.pass_time(PAUSE_SECONDS)
    await stage.refuse(name, times=2)
    again = await stage.queue.takes(name)
    when = {"now", "at"}
    assert {key: value for key, value in again.said.items() if key not in when} == {
        key: value for key, value in first.said.items() if key not in when
    }
    again.answer(True)
    await settle()
    assert (stage.reports, stage.model.open, stage.pool.taken) == ([FULL_DISK], [], 0)


async def test_a_slot_of_an_endpoint_is_given_back_each_time_a_full_disk_refuses_a_result(
    stage: DispatcherStage,
) -> None:
    """Else, after so many refusals, nothing is sent to that endpoint any more."""
    await stage.runs(stage.claimed(endpoint=ENDPOINT), OK)
    await stage.claims()
    for _ in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1):
        await stage.refuse("finish")
        await stage.pass_time(LONGEST_PAUSE_SECONDS)
    finish = await stage.queue.takes("finish")
    assert finish.said["is_claimed"] is True
    finish.answer(True)
    await stage.endpoints.takes("post")


async def test_a_slot_of_an_endpoint_is_given_back_when_the_request_is_over_already(
    stage: DispatcherStage,
) -> None:
    for _ in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1):
        await stage.claims(stage.claimed(endpoint=ENDPOINT))
        await stage.answers(OK)
        finish = await stage.queue.takes("finish")
        assert finish.said["is_claimed"] is True
        finish.answer(False)


async def test_a_result_whose_recording_breaks_is_told_of_and_recorded_as_failed(
    stage: DispatcherStage,
) -> None:
    await stage.runs(stage.claimed(max_attempts=1), OK)
    (await stage.queue.takes("finish", claim=[])).fail(RuntimeError("a bug"))
    finish = await stage.queue.takes("finish")
    assert finish.said["status"] is RequestStatus.FAILED
    assert finish.said["errors"][0].code == "INTERNAL_SERVER_ERROR"
    assert [line for line in stage.reports if "r1" in line and "a bug" in line]
    finish.fail(RuntimeError("another bug"))
    await settle()
    assert [line for line in stage.reports if "r1" in line and "another bug" in line]


# The end.


async def at_start(stage: DispatcherStage) -> list[Call]:
    return [await stage.queue.takes("take_over")]


async def at_claim(stage: DispatcherStage) -> list[Call]:
    return [await stage.queue.takes("claim", take_over=[])]


async def at_rest(stage: DispatcherStage) -> list[Call]:
    await stage.claims()
    return []


async def at_pause(stage: DispatcherStage) -> list[Call]:
    (await stage.queue.takes("claim", take_over=[])).fail(RequestQueueError(FULL_DISK))
    return []


async def at_resume(stage: DispatcherStage) -> list[Call]:
    (await stage.queue.takes("take_over")).answer([WaitingRetry("r1", 0, None)])
    return [await stage.queue.takes("resume", claim=[])]


async def at_model(stage: DispatcherStage) -> list[Call]:
    await stage.claims(stage.claimed())
    return [await stage.model.takes("call")]


async def at_finish(stage: DispatcherStage) -> list[Call]:
    await stage.runs(stage.claimed(endpoint=ENDPOINT), OK)
    return [await stage.queue.takes("finish", claim=[])]


async def at_retry(stage: DispatcherStage) -> list[Call]:
    await stage.runs(stage.claimed(), ScriptedAnswer(500))
    return [await stage.queue.takes("retry_later", claim=[])]


async def at_retry_of_what_broke(stage: DispatcherStage) -> list[Call]:
    await stage.runs(stage.claimed(), RuntimeError("a bug"))
    return [await stage.queue.takes("retry_later", claim=[])]


@pytest.mark.parametrize(
    "reach",
    [
        at_start,
        at_claim,
        at_rest,
        at_pause,
        at_resume,
        at_model,
        at_finish,
        at_retry,
        at_retry_of_what_broke,
    ],
)
async def test_it_ends_when_it_is_cancelled_wherever_it_waits_and_leaves_all_as_it_is(
    reach: Callable[[DispatcherStage], Awaitable[list[Call]]],
) -> None:
    stage = DispatcherStage()
    async with stage.running(stage.dispatcher):
        calls = await reach(stage)
        await settle()
    await settle()
    assert all(call.is_called_off for call in calls)
    assert (stage.queue.open, stage.model.open, stage.pool.taken) == ([], [], 0)


async def test_it_ends_only_when_its_attempts_have() -> None:
    stage = DispatcherStage()
    async with stage.running(stage.dispatcher) as running:
        await stage.claims(stage.claimed())
        stage.model.may_leave.clear()
        running.cancel()
        await settle()
        assert not running.done()
        stage.model.may_leave.set()


async def test_slots_of_endpoints_are_given_back_when_it_is_cancelled() -> None:
    stage = DispatcherStage(free=MAX_IN_FLIGHT_PER_ENDPOINT)
    async with stage.running(stage.dispatcher):
        await stage.claims(
            *(stage.claimed(str(number), endpoint=ENDPOINT) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT))
        )
        for call in await stage.model.takes_all("call"):
            call.answer(ScriptedAnswer())
        await stage.queue.takes_all("finish")
    with stage.delivery.slot_for(ENDPOINT) as slot:
        assert slot is not None
