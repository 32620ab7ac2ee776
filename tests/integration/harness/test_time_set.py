"""Somebody sets the machine's time while a harness runs: what falls due, falls due as if nobody had."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from truss_async import Harness, HarnessSettings
from truss_async.clock import SYSTEM_CLOCK, SystemClock
from truss_async.contract.harness_calls import DeliveryAttempts, RequestRecord
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_timeSet"
DEADLINE_SECONDS = 30


class SetClock(SystemClock):
    """The machine's, whose time of day can be set."""

    def __init__(self) -> None:
        self.offset = timedelta()

    def now(self) -> datetime:
        return super().now() + self.offset

    def set(self, hours: float) -> None:
        self.offset += timedelta(hours=hours)


class Model:
    """Fails the first time."""

    def __init__(self) -> None:
        self.calls: list[float] = []

    def __call__(self, model_input: Any) -> Any:
        self.calls.append(SYSTEM_CLOCK.monotonic())
        if len(self.calls) == 1 and model_input == "fail":
            raise RuntimeError("not yet")
        return model_input


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture(params=[-1, 1, -24 * 365, 24 * 365], ids=lambda hours: f"{hours} h")
def hours(request: pytest.FixtureRequest) -> float:
    """By how much the time is set."""
    return float(request.param)


@pytest.fixture
def harness(clock: SetClock, model: Model) -> Iterator[Harness]:
    settings = HarnessSettings(model=model, port=0, webhook_secrets=(SECRET,))
    with Harness(settings, clock=clock, report=lambda line: None, log=lambda line: None) as harness:
        harness.wait_ready()
        yield harness


def until(condition: Callable[[], bool]) -> None:
    deadline = SYSTEM_CLOCK.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert SYSTEM_CLOCK.monotonic() < deadline
        SYSTEM_CLOCK.block(0.01)


def test_a_retry_comes_as_soon_as_ever(harness: Harness, clock: SetClock, model: Model, hours: float) -> None:
    retries = {"max_attempts": 2, "initial_delay_ms": 1500}
    request = harness.submit("fail", inference_retry_config=retries)
    until(lambda: record_of(harness, request.request_id).inference_attempts == 1)
    clock.set(hours)
    assert request.wait(timeout_seconds=DEADLINE_SECONDS).value == "SUCCEEDED"
    assert model.calls[1] - model.calls[0] > 1.4


def test_a_result_is_sent_again_as_soon_as_ever_and_is_fresh_by_the_receivers_clock(
    harness: Harness, clock: SetClock, hours: float
) -> None:
    arrivals: list[float] = []
    with WebhookReceiver(
        secrets=[SECRET], clock=clock, on_delivery=lambda _: arrivals.append(SYSTEM_CLOCK.monotonic())
    ) as receiver:
        receiver.answer_next(503)
        request = harness.submit("input", webhook_endpoint=receiver.url)
        until(lambda: len(harness.deliveries) == 1)
        clock.set(hours)
        delivery = receiver.wait_for(request, timeout_seconds=DEADLINE_SECONDS)
    assert delivery.verdict == "valid"
    assert arrivals[1] - arrivals[0] > 1.9
    assert abs(delivery.result.time - clock.now()) < timedelta(minutes=2)


def record_of(harness: Harness, request_id: str) -> RequestRecord:
    return RequestRecord(**harness._ask("GET", f"/_harness/requests/{request_id}"))


def test_what_is_queued_does_not_expire_before_its_time(
    harness: Harness, clock: SetClock, hours: float
) -> None:
    harness.pause()
    request = harness.submit("input", max_time_in_queue_seconds=600)
    clock.set(hours)
    late = harness.submit("input", max_time_in_queue_seconds=600)
    harness.resume()
    for each in (request, late):
        assert each.wait(timeout_seconds=DEADLINE_SECONDS).value == "SUCCEEDED"


def test_the_times_that_it_tells_are_those_that_the_machine_shows_now(
    harness: Harness, clock: SetClock, hours: float
) -> None:
    with WebhookReceiver(secrets=[SECRET], clock=clock) as receiver:
        request = harness.submit("input", webhook_endpoint=receiver.url)
        request.wait(timeout_seconds=DEADLINE_SECONDS)
        clock.set(hours)
        record = record_of(harness, request.request_id)
        (attempt,) = DeliveryAttempts(**harness._ask("GET", "/_harness/deliveries")).deliveries
    moments = [record.created_at, record.status_at, record.started_at, record.finished_at, attempt.sent_at]
    moments += [each.sent_at for each in record.deliveries]
    for moment in moments:
        assert moment is not None
        assert abs(moment - clock.now()) < timedelta(minutes=2)
