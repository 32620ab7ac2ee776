"""Everything that falls due has happened when the call that moves the clock returns."""

import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate, outcome
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.errors import ApiError
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
IMPATIENT = 0.05


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def caller(serve: Callable[..., Harness], clock: ManualClock) -> Iterator[HarnessClient]:
    harness = serve(clock=clock)
    with HarnessClient(harness.url, api_key="any") as caller:
        while httpx.get(f"{harness.url}/healthz").json()["model"] != "ready":
            pass
        yield caller


def after(moment: datetime) -> float:
    return (moment - START).total_seconds()


def test_a_request_expires_at_its_moment(caller: HarnessClient, clock: ManualClock, gate: Gate) -> None:
    caller.submit(model_input="holds the only slot")
    assert gate.entered.acquire(timeout=30)
    late = [
        caller.submit(model_input="late", max_time_in_queue_seconds=seconds).request_id
        for seconds in (72 * 3600, 100, 50)
    ]
    clock.advance(seconds=99, patience_seconds=IMPATIENT)
    assert [caller.status(request_id).status.value for request_id in late] == ["QUEUED", "QUEUED", "EXPIRED"]
    clock.advance(seconds=1, patience_seconds=IMPATIENT)
    statuses = [caller.status(request_id) for request_id in late]
    assert [status.status.value for status in statuses] == ["QUEUED", "EXPIRED", "EXPIRED"]
    assert [after(status.status_at) for status in statuses] == [0, 100, 50]


def test_inference_attempts_and_deliveries_follow_their_schedules(
    serve: Callable[..., Harness], clock: ManualClock, model: ModelServer
) -> None:
    answers = iter([Answer(500), Answer(500), Answer(body=b"1")])
    model.behave = lambda _: next(answers)
    with (
        HarnessClient(serve(clock=clock, webhook_schedule="older").url, api_key="any") as caller,
        WebhookReceiver(secrets=(SECRET,), respond_with=[503, 503, 200], tolerance_seconds=1e10) as receiver,
    ):
        request_id = caller.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        model.wait_for_a_call()
        clock.advance(minutes=10)
        status = caller.status(request_id)
        assert outcome(status) == ("SUCCEEDED", "SUCCEEDED")
        assert after(status.status_at) == 1 + 2
        assert [after(sent.sent_at) for sent in caller.deliveries(request_id)] == [3, 3 + 1, 3 + 1 + 4]
        assert [delivery.verdict for delivery in receiver.deliveries] == ["valid"] * 3
        clock.advance(minutes=50, seconds=7)
        assert caller.status(request_id) == status
        clock.advance(seconds=1)
        with pytest.raises(ApiError, match="unknown"):
            caller.status(request_id)
    assert len(model.calls) == 3


def test_a_hanging_model_is_timed_out_and_tried_again_within_one_advance(
    caller: HarnessClient, clock: ManualClock, gate: Gate, model: ModelServer
) -> None:
    retry = {"max_attempts": 2}
    request_id = caller.submit(model_input=1, inference_retry_config=retry).request_id
    assert gate.entered.acquire(timeout=30)
    clock.advance(hours=2, seconds=1, patience_seconds=IMPATIENT)
    status = caller.status(request_id)
    assert (status.status.value, status.errors[0].code) == ("FAILED", "MODEL_PREDICT_TIMEOUT")
    assert after(status.status_at) == 2 * 3600 + 1
    assert len(model.calls) == 2


def test_72_hours_pass_at_once(caller: HarnessClient, clock: ManualClock) -> None:
    request_id = caller.submit(model_input=1).request_id
    assert clock.advance(hours=72) == START + timedelta(hours=72)
    with pytest.raises(ApiError, match="unknown"):
        caller.status(request_id)


def test_closing_ends_an_advance_that_waits(
    serve: Callable[..., Harness], clock: ManualClock, gate: Gate
) -> None:
    harness = serve(clock=clock)
    with HarnessClient(harness.url, api_key="any") as caller:
        caller.submit(model_input=1)
    assert gate.entered.acquire(timeout=30)
    advancing = threading.Thread(target=lambda: clock.advance(seconds=1, patience_seconds=600))
    advancing.start()
    harness.close()
    advancing.join(30)
    assert not advancing.is_alive()


def test_the_clock_moves_over_http(serve: Callable[..., Harness]) -> None:
    harness = serve(virtual_clock=True)
    with httpx.Client(base_url=harness.url, headers={"Authorization": "Api-Key any"}, timeout=30) as http:
        before = datetime.fromisoformat(http.get("/_harness/clock").json()["now"].replace("Z", "+00:00"))
        assert abs(datetime.now(timezone.utc) - before) < timedelta(minutes=5)
        answer = http.post("/_harness/clock", json={"advance_seconds": 259_200})
        now = datetime.fromisoformat(answer.json()["now"].replace("Z", "+00:00"))
        assert (answer.status_code, now - before) == (200, timedelta(hours=72))
        assert http.get("/_harness/clock").json() == answer.json()
    assert harness.clock.now() == now


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"advance_seconds": -1}',
        b'{"advance_seconds": NaN}',
        b'{"advance_seconds": 1e300}',
        b'{"advance_seconds": "soon"}',
        b'{"advance_seconds": 1, "hours": 2}',
        b"[1]",
    ],
)
def test_a_wrong_advance_is_refused(serve: Callable[..., Harness], body: bytes) -> None:
    harness = serve(virtual_clock=True)
    with httpx.Client(base_url=harness.url, headers={"Authorization": "Api-Key any"}) as http:
        before = http.get("/_harness/clock").json()
        assert http.post("/_harness/clock", content=body).status_code == 400
        assert http.get("/_harness/clock").json() == before


def test_real_time_cannot_be_moved(http: httpx.Client) -> None:
    answer = http.post("/_harness/clock", json={"advance_seconds": 1})
    assert answer.status_code == 400
    assert "--virtual-clock" in answer.json()["error"]
    assert http.get("/_harness/clock").status_code == 200
    assert http.delete("/_harness/clock").status_code == 405
