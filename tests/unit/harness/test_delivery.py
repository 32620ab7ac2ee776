from __future__ import annotations

import errno
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.unit.harness.scripted import settle
from tests.unit.harness.stage import ENDPOINT, FULL_DISK, OTHER, Stage, due
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from truss_async.errors import WebhookVerificationError
from truss_async.harness.delivery import CLAIMED_AT_ONCE
from truss_async.harness.delivery_slots import MAX_IN_FLIGHT_PER_ENDPOINT
from truss_async.harness.request_queue import DeliveryAttempt, RequestQueueError
from truss_async.shortages import PAUSE_SECONDS, PORTS_RETURN_SECONDS
from truss_async.webhooks import verify_webhook

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from tests.unit.harness.scripted import Call
    from truss_async.harness.request_queue import DueDelivery

pytestmark = pytest.mark.asyncio

FEW = 20
PER_ENDPOINT = list(range(MAX_IN_FLIGHT_PER_ENDPOINT))


def endpoint_of(number: int) -> str:
    """Each of a server of its own."""
    return f"https://{number}.example/hook"


class DeliveryStage(Stage):
    async def claims(self, due: Sequence[DueDelivery] = ()) -> Call:
        """Give these to the delivery when it asks for what is due."""
        claim = await self.queue.takes("claim_deliveries")
        claim.answer(list(due))
        await settle()
        return claim

    async def begins(self, due: Sequence[DueDelivery] = (), *, following: float | None = None) -> None:
        """Nothing else is due, or the next in so many seconds."""
        await self.claims(due)
        at = None if following is None else self.now + timedelta(seconds=following)
        (await self.queue.takes("next_delivery")).answer(at)
        await settle()

    async def posts(self, status: int | BaseException = 200) -> Call:
        """Let an endpoint answer the next POST."""
        post = await self.endpoints.takes("post")
        if isinstance(status, BaseException):
            post.fail(status)
        else:
            post.answer(status)
        await settle()
        return post

    def hand_over(self, due: DueDelivery) -> bool:
        """As the dispatcher does with a result that it has; whether there was a slot for it."""
        with self.delivery.slot_for(due.webhook_endpoint) as slot:
            self.delivery.deliver(due, slot)
        return slot is not None


@pytest_asyncio.fixture
async def stage() -> AsyncIterator[DeliveryStage]:
    made = DeliveryStage()
    async with made.running(made.delivery):
        (await made.queue.takes("release_deliveries")).answer(0)
        yield made


@pytest_asyncio.fixture
async def narrow() -> AsyncIterator[DeliveryStage]:
    """It sends a few at once."""
    made = DeliveryStage(max_in_flight=FEW)
    async with made.running(made.delivery):
        (await made.queue.takes("release_deliveries")).answer(0)
        yield made


# What is sent.


@pytest.mark.parametrize(
    "values",
    [{"data": b'{"a":[1.5,null]}'}, {"data": None, "errors": [ErrorDetail(code="C", message="m")]}],
    ids=["an output", "an error"],
)
async def test_a_result_is_signed_with_each_secret_and_sent_as_a_receiver_reads_it(
    stage: DeliveryStage, values: dict[str, Any]
) -> None:
    stage.secrets = ["new", "old"]
    await stage.begins([due(**values)])
    said = (await stage.endpoints.takes("post")).said
    assert (said["url"], said["allow_redirects"], said["ssl"]) == (ENDPOINT, False, True)
    assert said["headers"][WEBHOOK_REQUEST_ID] == "r1"
    expected = AsyncPredictResult(
        request_id="r1",
        model_id="m1",
        deployment_id="d1",
        time=stage.now,
        data={"a": [1.5, None]} if values["data"] else None,
        errors=values.get("errors", []),
    )
    for secret in stage.secrets:
        assert verify_webhook(said["data"], said["headers"], secret, now=stage.now) == expected


async def test_without_a_secret_nothing_is_signed(stage: DeliveryStage) -> None:
    stage.secrets = []
    await stage.begins([due()])
    assert SIGNATURE not in (await stage.endpoints.takes("post")).said["headers"]


async def test_a_webhook_is_signed_with_the_secrets_of_the_moment_at_which_it_is_sent(
    stage: DeliveryStage,
) -> None:
    await stage.begins([due("r1")], following=60)
    await stage.posts()
    stage.secrets = ["newer"]
    await stage.pass_time(60)
    await stage.claims([due("r2", attempts_made=1)])
    said = (await stage.endpoints.takes("post")).said
    assert verify_webhook(said["data"], said["headers"], "newer", now=stage.now).time == stage.now


@pytest.mark.parametrize(
    ("kind", "problem"),
    [("webhook_wrong_signature", "signature"), ("webhook_old_timestamp", "old"), ("webhook_dropped", None)],
)
async def test_a_fault_strikes_the_attempt_that_it_names(
    stage: DeliveryStage, kind: str, problem: str | None
) -> None:
    stage.set_fault(kind, attempt=1)
    await stage.begins([due("r1"), due("r2", attempts_made=1)])
    *struck, sound = await stage.endpoints.takes_all("post")
    verify_webhook(sound.said["data"], sound.said["headers"], "secret", now=stage.now)
    for post in struck:
        with pytest.raises(WebhookVerificationError, match=problem):
            verify_webhook(post.said["data"], post.said["headers"], "secret", now=stage.now)
        post.answer(503)
    assert len(struck) == (problem is not None)
    assert f"fault: {kind}" in (await stage.queue.takes("deliver_later")).said["attempt"].error


# What becomes of it.


async def test_what_is_acknowledged_is_delivered(stage: DeliveryStage) -> None:
    await stage.begins([due(attempts_made=1)])
    post = await stage.endpoints.takes("post")
    sent_at = stage.now
    await stage.pass_time(0.5)
    post.answer(204)
    finished = (await stage.queue.takes("finish_delivery")).said
    assert finished["attempt"] == DeliveryAttempt(sent_at, 500.0, 204, None, "valid")
    assert (finished["is_delivered"], finished["now"]) == (True, stage.now)
    assert stage.reports == []


async def test_what_fails_for_a_while_is_sent_again_when_its_time_has_come(stage: DeliveryStage) -> None:
    await stage.begins([due()])
    await stage.posts(503)
    later = await stage.queue.takes("deliver_later")
    assert (later.said["attempt"].status_code, later.said["at"]) == (503, stage.now + timedelta(seconds=2))
    later.answer()
    await stage.begins(following=2)
    await stage.pass_time(1.999)
    assert stage.queue.open == []
    await stage.pass_time(0.001)
    await stage.begins([due(attempts_made=1)])
    await stage.posts(200)
    assert stage.queue.open == ["finish_delivery"]


@pytest.mark.parametrize(
    ("status", "made", "reason"),
    [(404, 0, "after 1 attempts: .*: it answered 404"), (503, 1, "after 2 attempts: .*: it answered 503")],
)
async def test_what_fails_for_good_is_told_with_its_reason(
    stage: DeliveryStage, status: int, made: int, reason: str
) -> None:
    await stage.begins([due(attempts_made=made)])
    await stage.posts(status)
    finished = await stage.queue.takes("finish_delivery")
    assert finished.said["is_delivered"] is False
    assert stage.reports == []
    finished.answer(True)
    await settle()
    assert len(stage.reports) == 1
    assert re.match(f"webhook of r1 failed for good {reason}", stage.reports[0])


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (aiohttp.ClientError("no such host"), "no such host"),
        (aiohttp.ServerDisconnectedError(""), "ServerDisconnectedError"),
        (ConnectionResetError("reset by peer"), "reset by peer"),
    ],
)
async def test_no_answer_is_an_attempt_with_its_reason(
    stage: DeliveryStage, error: Exception, reason: str
) -> None:
    await stage.begins([due()])
    await stage.posts(error)
    attempt = (await stage.queue.takes("deliver_later")).said["attempt"]
    assert (attempt.status_code, attempt.error) == (None, reason)
    assert stage.counted("baseten_async_webhook_requests_total", deployment_id="d1") == 1


async def test_an_endpoint_has_so_many_seconds_to_answer(stage: DeliveryStage) -> None:
    await stage.begins([due()])
    post = await stage.endpoints.takes("post")
    await stage.pass_time(9.999)
    assert not post.is_called_off
    await stage.pass_time(0.001)
    assert post.is_called_off
    attempt = (await stage.queue.takes("deliver_later")).said["attempt"]
    assert (attempt.latency_ms, attempt.status_code, attempt.error) == (10_000, None, "no answer within 10 s")


async def test_each_attempt_is_counted_with_how_long_it_took(stage: DeliveryStage) -> None:
    await stage.begins([due("r1"), due("r2")])
    first, second = await stage.endpoints.takes_all("post")
    await stage.pass_time(3)
    first.answer(200)
    second.answer(503)
    await settle()
    assert stage.counted("baseten_async_webhook_requests_total", deployment_id="d1") == 2
    assert stage.counted("baseten_async_webhook_latency_seconds_sum") == 6


# When it is sent.


async def test_what_is_due_is_claimed_in_parts_until_nothing_is_left(stage: DeliveryStage) -> None:
    claim = await stage.claims([due(str(number)) for number in range(CLAIMED_AT_ONCE)])
    assert (claim.said["limit"], claim.said["now"]) == (CLAIMED_AT_ONCE, stage.now)
    await stage.claims([due("last")])
    assert stage.queue.open == ["next_delivery"]


async def test_a_result_with_a_slot_is_sent_at_once_without_asking_the_queue(stage: DeliveryStage) -> None:
    await stage.begins()
    assert stage.hand_over(due())
    await stage.posts()
    assert stage.queue.open == ["finish_delivery"]


async def test_a_result_that_is_sent_at_once_has_its_slot_until_it_is_recorded(stage: DeliveryStage) -> None:
    await stage.begins()
    for number in PER_ENDPOINT:
        assert stage.hand_over(due(str(number)))
    assert not stage.hand_over(due("beyond"))
    await stage.posts()
    await stage.begins()
    assert not stage.hand_over(due("beyond"))
    (await stage.queue.takes("finish_delivery", claim_deliveries=[], next_delivery=None)).answer()
    await settle()
    assert stage.hand_over(due("after"))


async def test_a_slot_that_is_not_used_is_given_back(stage: DeliveryStage) -> None:
    def refuse() -> None:
        with stage.delivery.slot_for(ENDPOINT) as slot:
            assert slot is not None
            raise RequestQueueError(FULL_DISK)

    for _ in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1):
        with pytest.raises(RequestQueueError):
            refuse()
    assert stage.hand_over(due())


async def test_a_result_without_webhook_gets_no_slot(stage: DeliveryStage) -> None:
    with stage.delivery.slot_for(None) as slot:
        assert slot is None


@pytest.mark.parametrize("during", ["claim_deliveries", "next_delivery"])
async def test_a_result_that_is_kept_while_what_is_due_is_claimed_is_not_overlooked(
    stage: DeliveryStage, during: str
) -> None:
    """The queue may have been read before it was in it."""
    call = await stage.queue.takes(during, claim_deliveries=[])
    stage.delivery.deliver(due(), None)
    call.answer([] if during == "claim_deliveries" else None)
    if during == "claim_deliveries":
        (await stage.queue.takes("next_delivery")).answer(None)
    await settle()
    assert stage.queue.open == ["claim_deliveries"]


async def test_nobody_asks_again_while_nothing_is_due(stage: DeliveryStage) -> None:
    await stage.begins()
    await stage.pass_time(3600)
    assert stage.queue.open == []
    stage.delivery.deliver(due(), None)
    await settle()
    assert stage.queue.open == ["claim_deliveries"]


async def test_what_falls_due_while_what_is_due_is_claimed_is_not_late(stage: DeliveryStage) -> None:
    await stage.claims()
    moment = await stage.queue.takes("next_delivery")
    await stage.pass_time(1)
    moment.answer(stage.now)
    await settle()
    assert stage.queue.open == ["claim_deliveries"]


# How many at once.


async def test_an_endpoint_beyond_its_slots_waits_while_others_are_sent_to(stage: DeliveryStage) -> None:
    mine = [due(f"mine-{number}") for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 2)]
    await stage.begins([*mine, due("other", OTHER)])
    posts = await stage.endpoints.takes_all("post")
    assert [post.said["url"] for post in posts] == [ENDPOINT] * MAX_IN_FLIGHT_PER_ENDPOINT + [OTHER]
    assert not stage.hand_over(due("beyond"))
    await stage.begins()
    for number in (64, 65):
        posts.pop(0).answer(200)
        (await stage.queue.takes("finish_delivery")).answer(True)
        again = await stage.queue.takes("claimed_delivery")
        assert again.said["request_id"] == f"mine-{number}"
        again.answer(mine[number])
        await settle()
        assert stage.endpoints.open == ["post"] * (number - 63)


async def test_a_delivery_that_waited_in_vain_leaves_its_slot_to_the_next(stage: DeliveryStage) -> None:
    mine = [due(f"mine-{number}") for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 2)]
    await stage.begins(mine)
    (await stage.endpoints.takes("post")).answer(200)
    gone = await stage.queue.takes("claimed_delivery", finish_delivery=True)
    gone.answer(None)
    next_one = await stage.queue.takes("claimed_delivery")
    assert (gone.said["request_id"], next_one.said["request_id"]) == ("mine-64", "mine-65")
    next_one.answer(None)
    await settle()
    assert stage.hand_over(due("r1"))
    assert stage.reports == []


async def test_when_all_slots_are_taken_nothing_is_claimed_until_one_is_free(narrow: DeliveryStage) -> None:
    await narrow.claims([due(str(number), endpoint_of(number)) for number in range(FEW)])
    assert narrow.endpoints.open == ["post"] * FEW
    assert not narrow.hand_over(due("beyond", OTHER))
    await settle()
    assert narrow.queue.open == []
    await narrow.posts()
    assert narrow.queue.open == ["finish_delivery"]
    (await narrow.queue.takes("finish_delivery")).answer(True)
    claim = await narrow.claims([due("beyond", OTHER)])
    assert claim.said["limit"] == 1
    assert narrow.queue.open == []


async def test_what_is_being_kept_has_its_slot_and_is_not_claimed_for(narrow: DeliveryStage) -> None:
    await narrow.begins()
    with narrow.delivery.slot_for(OTHER) as slot:
        assert slot is not None
        narrow.delivery.deliver(due(), None)
        assert (await narrow.claims()).said["limit"] == FEW - 1


async def test_what_was_claimed_is_sent_though_results_with_slots_came_first(narrow: DeliveryStage) -> None:
    claim = await narrow.queue.takes("claim_deliveries")
    for number in range(FEW):
        assert narrow.hand_over(due(f"first-{number}", endpoint_of(number)))
    claim.answer([due("claimed", OTHER)])
    await settle()
    assert narrow.endpoints.open == ["post"] * (FEW + 1)


# When the queue or the code fails.


async def test_a_start_that_a_full_disk_refuses_is_made_again() -> None:
    stage = DeliveryStage()
    async with stage.running(stage.delivery):
        await stage.refuse("release_deliveries", times=3)
        (await stage.queue.takes("release_deliveries")).answer(0)
        await stage.begins()
        assert stage.reports == [FULL_DISK]


@pytest.mark.parametrize("name", ["claim_deliveries", "next_delivery"])
async def test_a_full_disk_delays_what_is_due_and_is_told_of_once(stage: DeliveryStage, name: str) -> None:
    await stage.refuse(name, times=3, claim_deliveries=[])
    assert stage.reports == [FULL_DISK]
    await stage.begins([due()])
    assert stage.endpoints.open == ["post"]


@pytest.mark.parametrize(("name", "status"), [("finish_delivery", 200), ("deliver_later", 503)])
async def test_what_was_sent_is_recorded_when_there_is_room_and_not_sent_again(
    stage: DeliveryStage, name: str, status: int
) -> None:
    await stage.begins([due()])
    await stage.posts(status)
    await stage.refuse(name, times=3)
    assert stage.reports == [FULL_DISK]
    (await stage.queue.takes(name)).answer()
    await settle()
    assert stage.endpoints.open == []


async def test_a_delivery_keeps_its_slot_until_it_is_recorded(stage: DeliveryStage) -> None:
    await stage.begins([due(str(number)) for number in PER_ENDPOINT])
    await stage.posts()
    await stage.refuse("finish_delivery")
    assert not stage.hand_over(due("beyond"))
    await stage.begins()
    (await stage.queue.takes("finish_delivery")).answer(True)
    await settle()
    assert stage.hand_over(due("after"))


async def test_a_full_disk_delays_the_turn_of_what_waits(stage: DeliveryStage) -> None:
    await stage.begins([due(str(number)) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1)])
    (await stage.endpoints.takes_all("post"))[0].answer(200)
    await stage.refuse("claimed_delivery", times=3, finish_delivery=True)
    assert (stage.reports, stage.endpoints.open) == ([FULL_DISK], [])
    (await stage.queue.takes("claimed_delivery")).answer(due("64"))
    await settle()
    assert stage.endpoints.open == ["post"]


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://" + "a" * 64 + ".example.com",
        "https://a..example.com",
        "https://./",
        "no url",
        "https://[::1",
        "",
    ],
)
async def test_what_cannot_be_sent_has_failed_at_once(stage: DeliveryStage, endpoint: str) -> None:
    """As one that an older version accepted."""
    await stage.begins([due(endpoint=endpoint)])
    finished = await stage.queue.takes("finish_delivery")
    attempt = finished.said["attempt"]
    assert (finished.said["is_delivered"], attempt.status_code) == (False, None)
    assert attempt.error.startswith("its URL ")
    finished.answer(True)
    await settle()
    assert (stage.endpoints.open, len(stage.reports)) == ([], 1)


@pytest.mark.parametrize(
    "error",
    [RuntimeError("a \ud800bug"), UnicodeError("label empty or too long"), ValueError(), MemoryError()],
)
async def test_whatever_goes_wrong_a_delivery_ends_is_told_of_and_leaves_its_slot_to_the_next(
    stage: DeliveryStage, error: Exception
) -> None:
    await stage.begins([due(str(number)) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1)])
    await stage.posts(error)
    finished = await stage.queue.takes("finish_delivery")
    assert finished.said["request_id"] == "0"
    told = finished.said["attempt"].error
    assert told.startswith(f"internal error of the harness: {type(error).__name__}(")
    told.encode()
    finished.answer(True)
    (await stage.queue.takes("claimed_delivery")).answer(due("64"))
    await settle()
    assert stage.endpoints.open == ["post"] * MAX_IN_FLIGHT_PER_ENDPOINT
    assert [line for line in stage.reports if told in line]


@pytest.mark.parametrize("name", ["claimed_delivery", "finish_delivery", "deliver_later"])
async def test_an_error_of_the_queue_that_nobody_thought_of_ends_the_delivery_too(
    stage: DeliveryStage, name: str
) -> None:
    await stage.begins([due(str(number)) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1)])
    await stage.posts(503 if name == "deliver_later" else 200)
    (await stage.queue.takes(name, finish_delivery=True)).fail(TypeError("odd"))
    finished = await stage.queue.takes("finish_delivery")
    assert "TypeError('odd')" in finished.said["attempt"].error
    finished.fail(TypeError("again"))
    await settle()
    assert [line for line in stage.reports if "again" in line]
    assert stage.endpoints.open.count("post") == MAX_IN_FLIGHT_PER_ENDPOINT - 1


# Want of something of our own, and servers that do not answer.


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EADDRNOTAVAIL])
async def test_want_of_something_of_our_own_is_no_attempt_and_is_told_of_once(
    stage: DeliveryStage, number: int
) -> None:
    await stage.begins([due("r1"), due("r2")])
    for _ in range(3):
        for _ in range(2):
            await stage.posts(aiohttp.ClientOSError(number, "none left"))
        assert (stage.queue.open, stage.endpoints.open) == ([], [])
        await stage.pass_time(PAUSE_SECONDS)
    assert len(stage.reports) == 1
    await stage.posts(200)
    attempt = (await stage.queue.takes("finish_delivery")).said["attempt"]
    assert (attempt.sent_at, attempt.status_code) == (stage.now, 200)
    assert stage.counted("baseten_async_webhook_requests_total") == 1


async def test_an_address_that_cannot_be_used_for_long_is_a_failed_attempt(stage: DeliveryStage) -> None:
    await stage.begins([due()])
    for _ in range(int(PORTS_RETURN_SECONDS / PAUSE_SECONDS)):
        await stage.posts(aiohttp.ClientOSError(errno.EADDRNOTAVAIL, "no such address"))
        await stage.pass_time(PAUSE_SECONDS)
    await stage.posts(aiohttp.ClientOSError(errno.EADDRNOTAVAIL, "no such address"))
    assert "no such address" in (await stage.queue.takes("deliver_later")).said["attempt"].error


async def test_servers_that_hang_delay_no_other_however_much_waits_for_them(stage: DeliveryStage) -> None:
    """A thousand servers at once; of none is it known whether it answers."""
    hanging, good = "https://hangs-{}.example/", "https://good-{}.example/"
    waiting = [due(f"h{n}", hanging.format(n % 900)) for n in range(9000)]
    waiting += [due(f"g{n}", good.format(n % 100)) for n in range(1000)]
    while waiting:
        part, waiting = waiting[:CLAIMED_AT_ONCE], waiting[CLAIMED_AT_ONCE:]
        await stage.claims(part)
    by_id = {f"g{n}": due(f"g{n}", good.format(n % 100)) for n in range(1000)}
    by_id |= {f"h{n}": due(f"h{n}", hanging.format(n % 900)) for n in range(9000)}
    began, delivered = stage.now, 0
    while delivered < 1000:
        await settle()
        for post in await stage.endpoints.takes_all("post"):
            if "good" in post.said["url"]:
                post.answer(200)
        await settle()
        assert "finish_delivery" in stage.queue.open, f"{delivered} of 1000"
        for finished in await stage.queue.takes_all("finish_delivery"):
            finished.answer(True)
            delivered += 1
        await settle()
        for turn in await stage.queue.takes_all("claimed_delivery"):
            turn.answer(by_id[turn.said["request_id"]])
    assert stage.now == began


# What others own.


async def test_what_others_left_unsent_is_looked_for_at_the_start_and_whenever_it_is_said(
    stage: DeliveryStage,
) -> None:
    await stage.begins()
    looking = stage.activity.start(stage.delivery.take_over())
    release = await stage.queue.takes("release_deliveries")
    assert (release.said, stage.queue.open) == ({"now": stage.now}, [])
    release.answer(1)
    await stage.begins([due()])
    assert (stage.endpoints.open, looking.done()) == (["post"], True)


async def test_what_is_dropped_is_broken_off_and_what_waits_in_line_is_not_sent(stage: DeliveryStage) -> None:
    await stage.begins([due(str(number)) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1)])
    posts = await stage.endpoints.takes_all("post")
    stage.delivery.drop()
    await settle()
    assert all(post.is_called_off for post in posts)
    assert (stage.queue.open, stage.endpoints.open) == ([], [])
    assert stage.hand_over(due("next"))
    await stage.posts()


async def test_what_others_took_over_is_not_told_to_have_failed(stage: DeliveryStage) -> None:
    await stage.begins([due()])
    await stage.posts(404)
    (await stage.queue.takes("finish_delivery")).answer(False)
    await settle()
    assert stage.reports == []


# The end.


async def at_start(stage: DeliveryStage) -> list[Call]:
    return [await stage.queue.takes("release_deliveries")]


async def at_claim(stage: DeliveryStage) -> list[Call]:
    return [await stage.queue.takes("claim_deliveries")]


async def at_next(stage: DeliveryStage) -> list[Call]:
    return [await stage.queue.takes("next_delivery", claim_deliveries=[])]


async def at_rest(stage: DeliveryStage) -> list[Call]:
    await stage.begins(following=60)
    return []


async def at_pause(stage: DeliveryStage) -> list[Call]:
    (await stage.queue.takes("claim_deliveries")).fail(RequestQueueError(FULL_DISK))
    return []


async def at_posts_and_in_line(stage: DeliveryStage) -> list[Call]:
    await stage.begins([due(str(number)) for number in range(MAX_IN_FLIGHT_PER_ENDPOINT + 1)])
    return await stage.endpoints.takes_all("post")


async def at_finish(stage: DeliveryStage) -> list[Call]:
    await stage.begins([due()])
    await stage.posts()
    return [await stage.queue.takes("finish_delivery")]


async def at_later(stage: DeliveryStage) -> list[Call]:
    await stage.begins([due()])
    await stage.posts(503)
    return [await stage.queue.takes("deliver_later")]


async def at_turn(stage: DeliveryStage) -> list[Call]:
    posts = await at_posts_and_in_line(stage)
    posts.pop().answer(200)
    return [*posts, await stage.queue.takes("claimed_delivery", finish_delivery=True)]


@pytest.mark.parametrize(
    "reach",
    [at_start, at_claim, at_next, at_rest, at_pause, at_posts_and_in_line, at_finish, at_later, at_turn],
)
async def test_it_ends_when_it_is_cancelled_wherever_it_waits_and_begins_nothing_more(
    reach: Callable[[DeliveryStage], Awaitable[list[Call]]],
) -> None:
    stage = DeliveryStage()
    async with stage.running(stage.delivery):
        if reach is not at_start:
            (await stage.queue.takes("release_deliveries")).answer(0)
        calls = await reach(stage)
        await settle()
    await settle()
    assert all(call.is_called_off for call in calls)
    assert (stage.queue.open, stage.endpoints.open) == ([], [])


async def test_it_ends_only_when_its_deliveries_have() -> None:
    stage = DeliveryStage()
    async with stage.running(stage.delivery) as running:
        (await stage.queue.takes("release_deliveries")).answer(0)
        await stage.begins([due()])
        stage.endpoints.may_leave.clear()
        running.cancel()
        await settle()
        assert not running.done()
        stage.endpoints.may_leave.set()
