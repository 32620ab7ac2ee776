from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.harness.scripted import Script, settle
from tests.unit.harness.stage import ENDPOINT, OTHER, Stage, due
from truss_async.harness.faults import FaultyDelivery, Tampering
from truss_async.harness.request_queue import DeliveryAttempt

if TYPE_CHECKING:
    from truss_async.harness.request_queue import DueDelivery

pytestmark = pytest.mark.asyncio

TIMEOUT_SECONDS = 10
HELD = {"kind": "webhook_reordered", "request_id": "held", "seconds": 60}


class FaultStage(Stage):
    """The deliverer of faults; how its attempts are made is for the test to say."""

    def __init__(self, **fault: Any) -> None:
        super().__init__()
        self.sending = Script()
        self.faulty = FaultyDelivery(self.faults, activity=self.activity, timeout_seconds=TIMEOUT_SECONDS)
        if fault:
            self.set_fault(**fault)

    def attempt(self, request_id: str = "r1", endpoint: str = ENDPOINT) -> asyncio.Task[DeliveryAttempt]:
        return self.activity.start(self.faulty.attempt(due(request_id, endpoint), self._post))

    async def sends(
        self, request_id: str = "r1", *, after_seconds: float = 0, error: str | None = None
    ) -> tuple[Tampering, DeliveryAttempt]:
        """Let the next POST, which must be of this request, be answered; return how it was made and what it was."""
        call = await self.sending.takes("post")
        assert call.said["due"].request_id == request_id
        made = DeliveryAttempt(self.now, after_seconds * 1000, None if error else 200, error)
        await self.pass_time(after_seconds)
        call.answer(made)
        await settle()
        return call.said["tampering"], made

    async def _post(self, due: DueDelivery, tampering: Tampering) -> DeliveryAttempt:
        made = await self.sending.call_of("post", {"due": due, "tampering": tampering})
        assert isinstance(made, DeliveryAttempt)
        return made


async def test_it_is_armed_once_a_fault_was_set() -> None:
    stage = FaultStage()
    assert not stage.faulty.is_armed
    stage.set_fault("webhook_dropped")
    assert stage.faulty.is_armed


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "webhook_dropped", "request_id": "another"},
        {"kind": "model_500"},
        {"kind": "webhook_dropped", "attempt": 2},
    ],
)
async def test_what_no_fault_fits_is_sent_as_it_should_be(fault: dict[str, Any]) -> None:
    stage = FaultStage(**fault)
    attempt = stage.attempt()
    sent = await stage.sends()
    assert sent == (Tampering(), await attempt)
    assert stage.faults.all()[0].struck == 0


async def test_what_is_dropped_is_never_sent() -> None:
    stage = FaultStage(kind="webhook_dropped")
    made = await stage.attempt()
    assert made == DeliveryAttempt(stage.now, 0, None, "fault: webhook_dropped: never sent")
    assert stage.sending.open == []


async def test_what_is_doubled_is_sent_twice_one_after_the_other() -> None:
    stage = FaultStage(kind="webhook_doubled")
    attempt = stage.attempt()
    await stage.sends(error="reset")
    assert not attempt.done()
    await stage.sends()
    made = await attempt
    assert (made.status_code, made.error) == (200, "fault: webhook_doubled")


async def test_what_is_delayed_is_sent_after_so_long() -> None:
    stage = FaultStage(kind="webhook_delayed", seconds=5)
    attempt = stage.attempt()
    await stage.pass_time(4.999)
    assert stage.sending.open == []
    await stage.pass_time(0.001)
    await stage.sends(error="reset")
    assert (await attempt).error == "fault: webhook_delayed: reset"


@pytest.mark.parametrize(
    ("fault", "tampering"),
    [
        ({"kind": "webhook_wrong_signature"}, Tampering(is_signed_wrongly=True)),
        ({"kind": "webhook_old_timestamp", "seconds": 600}, Tampering(age_seconds=600)),
    ],
)
async def test_what_is_tampered_with_is_sent_so(fault: dict[str, Any], tampering: Tampering) -> None:
    stage = FaultStage(**fault)
    attempt = stage.attempt()
    assert (await stage.sends())[0] == tampering
    assert (await attempt).error == f"fault: {fault['kind']}"


@pytest.mark.parametrize("after", [0, 3, 10, 11])
async def test_an_answer_that_comes_slowly_takes_longer_than_it_may(after: float) -> None:
    stage = FaultStage(kind="webhook_answered_slowly")
    attempt = stage.attempt()
    _, sent = await stage.sends(after_seconds=after)
    if after < TIMEOUT_SECONDS:
        await stage.pass_time(TIMEOUT_SECONDS - after - 0.001)
        assert not attempt.done()
        await stage.pass_time(0.001)
    made = await attempt
    assert (made.sent_at, made.latency_ms, made.status_code) == (sent.sent_at, TIMEOUT_SECONDS * 1000, None)
    assert made.error == "fault: webhook_answered_slowly: no answer within 10 s"


# Reordering.


async def test_what_is_reordered_is_sent_after_the_next_one_to_its_server() -> None:
    stage = FaultStage(**HELD)
    held, other = stage.attempt("held"), stage.attempt("other", f"{ENDPOINT}/another/path")
    await settle()
    assert stage.sending.open == ["post"]
    await stage.sends("other")
    await stage.sends("held")
    assert ((await other).error, (await held).error) == (None, "fault: webhook_reordered")


async def test_with_nobody_to_go_first_what_is_reordered_is_sent_after_so_long() -> None:
    stage = FaultStage(**HELD)
    held = stage.attempt("held")
    await stage.pass_time(59.999)
    assert stage.sending.open == []
    await stage.pass_time(0.001)
    await stage.sends("held")
    assert (await held).status_code == 200


async def test_another_server_does_not_go_first() -> None:
    stage = FaultStage(**HELD)
    held = stage.attempt("held")
    stage.attempt("other", OTHER)
    await stage.sends("other")
    assert stage.sending.open == []
    await stage.pass_time(60)
    await stage.sends("held")
    await held


async def test_what_is_never_sent_does_not_go_first() -> None:
    stage = FaultStage(**HELD)
    stage.set_fault("webhook_dropped", request_id="dropped")
    held = stage.attempt("held")
    await stage.attempt("dropped")
    await settle()
    assert stage.sending.open == []
    stage.attempt("other")
    await stage.sends("other")
    await stage.sends("held")
    await held


async def test_several_that_are_reordered_all_go_after_the_next_one() -> None:
    stage = FaultStage(kind="webhook_reordered", times=2, seconds=60)
    first, second = stage.attempt("r1"), stage.attempt("r2")
    await settle()
    stage.attempt("other")
    await stage.sends("other")
    await stage.sends("r1")
    await stage.sends("r2")
    assert [(await each).error for each in (first, second)] == ["fault: webhook_reordered"] * 2


async def test_of_several_with_nobody_to_go_first_one_goes_before_the_others() -> None:
    stage = FaultStage(kind="webhook_reordered", seconds=60)
    first = stage.attempt("r1")
    await stage.pass_time(30)
    second = stage.attempt("r2")
    await stage.pass_time(30)
    await stage.sends("r1")
    await stage.sends("r2")
    await asyncio.gather(first, second)


@pytest.mark.parametrize("ending", ["sent", "cancelled"])
async def test_what_was_held_before_does_not_let_the_next_one_go(ending: str) -> None:
    stage = FaultStage(kind="webhook_reordered", seconds=60)
    before = stage.attempt("before")
    await settle()
    if ending == "sent":
        await stage.pass_time(60)
        await stage.sends("before")
    else:
        before.cancel()
        await asyncio.wait([before])
    held = stage.attempt("held")
    await stage.pass_time(59.999)
    assert stage.sending.open == []
    await stage.pass_time(0.001)
    await stage.sends("held")
    await held
