"""How sync calls reach a replica: parked or turned away when there is no room, and repeated when it fails them."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import httpx
import pytest

from tests.integration.harness.gate import Gate
from tests.integration.harness.model_server import Answer, ModelServer
from tests.integration.harness.test_capacity import SCALES_TO_ZERO, scale_to_zero, wait_for_model
from tests.integration.harness.test_metrics import value
from truss_async.client import PlatformClient
from truss_async.clock import ManualClock
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.contract.headers import PREDICTION_ATTEMPTS
from truss_async.harness.harness import Harness

KEY = {"Authorization": "Api-Key any"}
Call = Callable[..., Future[httpx.Response]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def call() -> Iterator[Call]:
    """Make a sync call of a harness in the background."""
    with ExitStack() as ends:
        pool = ends.enter_context(ThreadPoolExecutor(8))
        http = ends.enter_context(httpx.Client(headers=KEY, timeout=30))

        def begin(
            harness: Harness, path: str = "/production/predict", content: bytes = b'"sync"'
        ) -> Future[httpx.Response]:
            return pool.submit(http.post, f"{harness.url}{path}", content=content)

        yield begin


def wait_for_calls(harness: Harness, count: int) -> None:
    """Until so many sync calls are in the harness."""
    pause = threading.Event()
    while value(harness, "baseten_concurrent_requests") != count:
        assert not pause.wait(0.01)


def until(answer: Future[httpx.Response], clock: ManualClock, *, seconds: float) -> httpx.Response:
    """The answer, while time goes on."""
    pause = threading.Event()
    while not answer.done():
        clock.advance(seconds, patience_seconds=0.05)
        pause.wait(0.005)
    return answer.result()


def test_a_call_waits_for_room_by_default(serve: Callable[..., Harness], gate: Gate, call: Call) -> None:
    harness = serve()
    first, second = call(harness), call(harness)
    assert gate.entered.acquire(timeout=30)
    wait_for_calls(harness, 2)
    gate.opened.set()
    assert [each.result(30).status_code for each in (first, second)] == [200, 200]


@pytest.mark.parametrize("path", ["/production/predict", "/production/sync/v1/models/model:predict"])
def test_a_call_that_finds_no_room_is_529_at_once_where_calls_are_rejected(
    serve: Callable[..., Harness], gate: Gate, call: Call, path: str
) -> None:
    harness = serve(on_full="reject")
    wait_for_model(harness, "ready")
    first = call(harness)
    assert gate.entered.acquire(timeout=30)
    refused = call(harness, path).result(30)
    assert (refused.status_code, refused.json()["error_code"]) == (529, "model_unavailable")
    assert PREDICTION_ATTEMPTS not in refused.headers
    gate.opened.set()
    assert first.result(30).status_code == 200
    assert call(harness).result(30).status_code == 200


def test_a_call_that_is_rejected_wakes_the_model_which_has_scaled_to_zero(
    serve: Callable[..., Harness], clock: ManualClock, call: Call
) -> None:
    harness = serve(clock=clock, on_full="reject", **SCALES_TO_ZERO)
    scale_to_zero(harness, clock)
    assert call(harness).result(30).status_code == 529
    wait_for_model(harness, "ready")
    assert call(harness).result(30).status_code == 200


def test_async_requests_are_queued_though_calls_are_rejected(
    serve: Callable[..., Harness], gate: Gate
) -> None:
    harness = serve(on_full="reject")
    with PlatformClient(harness.url, api_key="any") as client:
        ids = [client.submit(model_input=number).request_id for number in range(3)]
        assert gate.entered.acquire(timeout=30)
        gate.opened.set()
        ended = [client.wait(each, timeout_seconds=30).status.value for each in ids]
    assert ended == ["SUCCEEDED"] * 3


def test_a_parked_call_is_500_after_1200_s_and_parking_and_predicting_are_timed_apart(
    serve: Callable[..., Harness], clock: ManualClock, gate: Gate, call: Call
) -> None:
    harness = serve(clock=clock)
    wait_for_model(harness, "ready")
    first = call(harness)
    assert gate.entered.acquire(timeout=30)
    clock.advance(1000, patience_seconds=0.05)
    parked = call(harness)
    wait_for_calls(harness, 2)
    clock.advance(200, patience_seconds=0.05)
    assert first.result(30).status_code == 504
    assert gate.entered.acquire(timeout=30)  # the second one has its slot now, and all its time
    late = call(harness)
    wait_for_calls(harness, 2)
    clock.advance(1199, patience_seconds=0.05)
    assert not parked.done()
    assert not late.done()
    clock.advance(1, patience_seconds=0.05)
    assert parked.result(30).status_code == 504
    gate.opened.set()
    assert late.result(30).status_code in (200, 500)  # both fell due in one moment


def test_nobody_waits_for_a_replica_longer_than_1200_s(
    serve: Callable[..., Harness], clock: ManualClock, call: Call
) -> None:
    harness = serve(clock=clock, model_url="http://127.0.0.1:9")  # where nothing answers, ever
    parked = call(harness)
    wait_for_calls(harness, 1)
    clock.advance(1200, patience_seconds=0.05)
    answer = parked.result(30)
    assert (answer.status_code, answer.json()["error_code"]) == (500, "timeout")
    assert "1200 s" in answer.json()["error"]
    wait_for_calls(harness, 0)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_the_model_answers_502_503_or_504_is_repeated(
    serve: Callable[..., Harness],
    clock: ManualClock,
    model: ModelServer,
    call: Call,
    reports: list[str],
    status: int,
) -> None:
    answers = iter([Answer(status), Answer(status), Answer(body=b"1")])
    model.behave = lambda _: next(answers)
    harness = serve(clock=clock, sync_retries=True)
    answer = until(call(harness), clock, seconds=0.25)
    assert (answer.status_code, answer.json(), answer.headers[PREDICTION_ATTEMPTS]) == (200, 1, "3")
    ids = {request_id for request_id, _ in model.calls}
    assert (len(model.calls), ids) == (3, {answer.headers["x-baseten-request-id"]})
    told = [line for line in reports if "--no-sync-retries" in line]
    assert len(told) == 1
    assert told[0].startswith(f"the model answered {status} to a sync call; such calls are retried")


def test_what_the_model_answers_stands_after_15_minutes(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer, call: Call
) -> None:
    model.behave = lambda _: Answer(503, b'{"error": "busy"}')
    harness = serve(clock=clock, sync_retries=True)
    answer = until(call(harness), clock, seconds=30)
    assert (answer.status_code, answer.json()) == (503, {"error": "busy"})
    assert answer.headers[PREDICTION_ATTEMPTS] == str(len(model.calls))
    assert len(model.calls) == 25  # 12 growing waits of 129 s in all, and 12 of a minute


def test_a_model_server_that_does_not_answer_is_asked_16_times(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer, call: Call
) -> None:
    model.behave = lambda _: Answer(is_cut=True)
    harness = serve(clock=clock, sync_retries=True)
    answer = until(call(harness), clock, seconds=60)
    assert (answer.status_code, answer.json()["error_code"]) == (502, "model_unavailable")
    assert len(model.calls) == 16


@pytest.mark.parametrize("status", [200, 400, 429, 500])
def test_any_other_answer_stands_and_tells_that_it_is_the_first(
    serve: Callable[..., Harness], model: ModelServer, call: Call, status: int
) -> None:
    model.behave = lambda _: Answer(status, headers={PREDICTION_ATTEMPTS: "77"})
    harness = serve(sync_retries=True)
    answer = call(harness).result(30)
    assert (answer.status_code, answer.headers.get_list(PREDICTION_ATTEMPTS)) == (status, ["1"])


def test_a_stream_tells_its_attempts_too(
    serve: Callable[..., Harness], model: ModelServer, call: Call
) -> None:
    model.behave = lambda _: Answer(chunks=[b"one ", b"two"])
    answer = call(serve(sync_retries=True)).result(30)
    assert (answer.text, answer.headers[PREDICTION_ATTEMPTS]) == ("one two", "1")


def test_without_repetition_the_bare_answer_comes_at_once(
    serve: Callable[..., Harness], model: ModelServer, call: Call
) -> None:
    model.behave = lambda _: Answer(503)
    answer = call(serve(clock=ManualClock(), sync_retries=False)).result(30)
    assert (answer.status_code, answer.headers[PREDICTION_ATTEMPTS]) == (503, "1")


def test_a_route_whose_body_was_passed_on_is_not_repeated(
    serve: Callable[..., Harness], model: ModelServer, call: Call
) -> None:
    model.behave = lambda _: Answer(503)
    answer = call(serve(clock=ManualClock(), sync_retries=True), "/production/sync/own").result(30)
    assert (answer.status_code, len(model.calls)) == (503, 1)


def test_async_requests_are_not_repeated_there(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(503)
    harness = serve(clock=clock, sync_retries=True)
    with PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1, inference_retry_config={"max_attempts": 1}).request_id
        assert client.wait(request_id, timeout_seconds=30).status.value == "FAILED"
    assert len(model.calls) == 1


def test_between_its_attempts_a_call_holds_no_slot_and_counts_as_concurrent(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer, call: Call
) -> None:
    model.behave = lambda model_input: Answer(503 if model_input == "fails" else 200)
    harness = serve(clock=clock, sync_retries=True)
    failing = call(harness, content=b'"fails"')
    model.wait_for_a_call()
    assert call(harness, content=b'"other"').result(30).status_code == 200
    wait_for_calls(harness, 1)
    model.behave = lambda _: Answer()
    assert until(failing, clock, seconds=0.5).status_code == 200


def test_a_caller_that_leaves_is_not_asked_for_again(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(503)
    harness = serve(clock=clock, sync_retries=True)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{harness.url}/production/predict", json=1, headers=KEY, timeout=0.3)
    wait_for_calls(harness, 0)
    clock.advance(60)
    assert len(model.calls) == 1


def test_a_fault_strikes_the_attempts_of_a_sync_call_one_by_one(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer, call: Call
) -> None:
    rules = (FaultRule(kind=FaultKind.MODEL_503, attempt=1), FaultRule(kind=FaultKind.MODEL_504, attempt=2))
    harness = serve(clock=clock, sync_retries=True, faults=rules)
    answer = until(call(harness), clock, seconds=0.25)
    assert (answer.status_code, answer.headers[PREDICTION_ATTEMPTS]) == (200, "3")
    assert len(model.calls) == 1
