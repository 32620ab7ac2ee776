"""What a request queue promises several owners: each thing is one owner's at a time, and nothing stays a dead one's."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.unit.harness.request_queue.conftest import START
from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import Storage
from truss_async.harness.request_queue import RequestQueue
from truss_async.harness.stories import Journal

LEASE = timedelta(seconds=15)
MOMENT = timedelta(microseconds=1)

Step = Callable[[QueueDriver], object]


def resume(owner: QueueDriver) -> bool:
    return owner.run(lambda q: q.resume("a")) is not None


def claim_delivery(owner: QueueDriver) -> bool:
    return [due.request_id for due in owner.claim_deliveries()] == ["a"]


def again(owner: QueueDriver) -> bool:
    return owner.run(lambda q: q.claimed_delivery("a")) is not None


CLAIM: list[Step] = [lambda owner: owner.claim()]
RETRY: list[Step] = [*CLAIM, lambda owner: owner.retry_later("a")]
RESUME: list[Step] = [*RETRY, resume]
FINISH: list[Step] = [*CLAIM, lambda owner: owner.finish("a", is_claimed=True)]
DELIVER: list[Step] = [*CLAIM, lambda owner: owner.finish("a"), claim_delivery]
INFERRING = {"claimed": CLAIM, "waits for a retry": RETRY, "resumed": RESUME}
DELIVERING = {"finished, to be delivered at once": FINISH, "a claimed delivery": DELIVER}

OF_INFERENCE: dict[str, Callable[[QueueDriver], bool]] = {
    "resume": resume,
    "retry": lambda owner: owner.retry_later("a", attempts=9),
    "finish": lambda owner: owner.finish("a", data=b'"mine"'),
    "finish and deliver": lambda owner: owner.finish("a", data=b'"mine"', is_claimed=True),
    "fail": lambda owner: owner.finish("a", failed=True),
}
OF_DELIVERY: dict[str, Callable[[QueueDriver], bool]] = {
    "look again": again,
    "deliver later": lambda owner: owner.deliver_later("a"),
    "deliver": lambda owner: owner.deliver("a"),
    "give up": lambda owner: owner.deliver("a", is_delivered=False),
}


@pytest.fixture
def one(storage: Storage, journal: Journal | None) -> Iterator[QueueDriver]:
    with QueueDriver(storage, now=START, lease_seconds=LEASE.total_seconds(), journal=journal) as driver:
        yield driver


@pytest.fixture
def two(one: QueueDriver) -> QueueDriver:
    return one.another()


def bring(owner: QueueDriver, steps: list[Step]) -> None:
    owner.enqueue("a")
    for step in steps:
        assert step(owner) is not False


def renew(owner: QueueDriver) -> bool:
    return owner.run(lambda q: q.renew(now=owner.now))


def release(owner: QueueDriver) -> int:
    return owner.run(lambda q: q.release_deliveries(now=owner.now))


def stand(owner: QueueDriver) -> tuple[object, ...]:
    """All that is known, and kept, of the request."""
    return owner.record("a"), owner.storage.inputs(), owner.storage.outputs()


def test_the_queue_says_how_long_a_lease_is(one: QueueDriver, storage: Storage) -> None:
    assert one.queue.lease_seconds == 15
    with QueueDriver(storage, now=START) as alone:
        assert alone.queue.lease_seconds is None


def test_owners_never_claim_the_same(one: QueueDriver, two: QueueDriver) -> None:
    for number in range(60):
        one.enqueue(f"r{number}")

    async def claim_all(mine: RequestQueue) -> list[str]:
        claimed: list[str] = []
        while found := await mine.claim(DEPLOYMENT, limit=3, now=one.now):
            claimed += [request.request_id for request in found]
        return claimed

    async def race(first: RequestQueue) -> list[list[str]]:
        return list(await asyncio.gather(claim_all(first), claim_all(two.queue)))

    of_one, of_two = one.run(race)
    assert sorted(of_one + of_two) == sorted(f"r{number}" for number in range(60))


@pytest.mark.parametrize(
    ("steps", "operation"),
    [(steps, operation) for steps in INFERRING.values() for operation in OF_INFERENCE.values()]
    + [(steps, operation) for steps in DELIVERING.values() for operation in OF_DELIVERY.values()],
)
def test_what_is_one_owners_no_other_touches(
    one: QueueDriver, two: QueueDriver, steps: list[Step], operation: Callable[[QueueDriver], bool]
) -> None:
    bring(one, steps)
    before = stand(one)
    assert not operation(two)
    assert stand(one) == before
    assert operation(one)


@pytest.mark.parametrize("steps", INFERRING.values(), ids=INFERRING)
def test_a_request_is_taken_over_when_the_lease_ends_and_not_before(
    one: QueueDriver, two: QueueDriver, steps: list[Step]
) -> None:
    bring(one, steps)
    one.now += LEASE - MOMENT
    assert two.take_over() == []
    one.now += MOMENT
    assert two.take_over("another deployment") == []
    assert two.take_over() == ["a"]
    assert two.take_over() == []


@pytest.mark.parametrize("steps", DELIVERING.values(), ids=DELIVERING)
def test_a_delivery_is_due_again_when_the_lease_ends_and_not_before(
    one: QueueDriver, two: QueueDriver, steps: list[Step]
) -> None:
    bring(one, steps)
    one.now += LEASE - MOMENT
    assert release(two) == 0
    one.now += MOMENT
    assert release(two) == 1
    assert release(two) == 0
    assert claim_delivery(two)


@pytest.mark.parametrize("operation", OF_INFERENCE.values(), ids=OF_INFERENCE)
@pytest.mark.parametrize("steps", INFERRING.values(), ids=INFERRING)
def test_who_comes_back_late_changes_nothing_of_a_request_that_was_taken_over(
    one: QueueDriver, two: QueueDriver, steps: list[Step], operation: Callable[[QueueDriver], bool]
) -> None:
    bring(one, steps)
    one.now += LEASE
    two.take_over()
    before = stand(two)
    assert not operation(one)
    assert not renew(one)
    assert not operation(one)
    assert stand(two) == before
    assert operation(two)


@pytest.mark.parametrize("operation", OF_DELIVERY.values(), ids=OF_DELIVERY)
@pytest.mark.parametrize("steps", DELIVERING.values(), ids=DELIVERING)
@pytest.mark.parametrize("is_claimed", [True, False], ids=["claimed by another", "due again"])
def test_who_comes_back_late_changes_nothing_of_a_delivery_that_was_taken_over(
    one: QueueDriver,
    two: QueueDriver,
    steps: list[Step],
    operation: Callable[[QueueDriver], bool],
    is_claimed: bool,
) -> None:
    bring(one, steps)
    one.now += LEASE
    release(two)
    if is_claimed:
        assert claim_delivery(two)
    before = stand(two)
    assert not operation(one)
    assert not renew(one)
    assert not operation(one)
    assert stand(two) == before
    assert is_claimed or claim_delivery(two)
    assert operation(two)


def test_what_waits_for_its_next_delivery_is_nobodys(one: QueueDriver, two: QueueDriver) -> None:
    bring(one, DELIVER)
    one.deliver_later("a", seconds=0)
    assert claim_delivery(two)
    assert not one.deliver("a")
    assert two.deliver("a")


def test_a_lease_that_is_renewed_in_time_does_not_end(one: QueueDriver, two: QueueDriver) -> None:
    bring(one, CLAIM)
    for _ in range(5):
        one.now += LEASE - MOMENT
        assert renew(one)
        assert two.take_over() == []
    assert one.finish("a")


def test_a_late_lease_that_nobody_ended_is_renewed_and_nothing_is_lost(
    one: QueueDriver, two: QueueDriver
) -> None:
    bring(one, CLAIM)
    one.now += 10 * LEASE
    assert renew(one)
    assert two.take_over() == []
    assert one.finish("a")


def test_who_is_late_does_not_end_his_own_lease(one: QueueDriver) -> None:
    bring(one, CLAIM)
    one.now += LEASE
    assert one.take_over() == []
    assert release(one) == 0
    assert one.finish("a", is_claimed=True)
    assert one.deliver("a")


def test_whose_lease_was_ended_claims_nothing_until_he_renews(one: QueueDriver, two: QueueDriver) -> None:
    bring(one, [])
    one.enqueue("delivered")
    two.claim(1)
    two.finish("a")
    one.now += LEASE
    assert two.take_over() == []
    assert (one.claim(), one.claim_deliveries()) == ([], [])
    assert not renew(one)
    assert one.claim() == ["delivered"]
    assert claim_delivery(one)
    assert renew(one)


def test_all_that_one_had_is_left_when_the_lease_ends(one: QueueDriver, two: QueueDriver) -> None:
    for name in "abcd":
        one.enqueue(name)
    one.enqueue("other", deployment_id="other")
    one.claim()
    one.run(lambda q: q.claim("other", limit=1, now=one.now))
    one.finish("a", is_claimed=True)
    one.finish("b", is_claimed=True)
    one.retry_later("c")
    one.now += LEASE
    assert two.take_over() == ["c", "d"]
    assert release(two) == 2
    assert not renew(one)
    assert one.take_over("other") == ["other"]


def test_what_was_taken_over_can_be_lost_again(one: QueueDriver, two: QueueDriver) -> None:
    bring(one, CLAIM)
    one.now += LEASE
    assert two.take_over() == ["a"]
    assert not renew(one)
    one.now += LEASE
    assert renew(one)
    assert one.take_over() == ["a"]
    assert not two.finish("a")
    assert one.finish("a")


def test_of_several_that_take_over_at_once_each_gets_what_no_other_gets(
    one: QueueDriver, two: QueueDriver
) -> None:
    for number in range(20):
        one.enqueue(f"r{number}")
    three = one.another()
    one.claim()
    one.now += LEASE
    renew(two)
    renew(three)

    async def race(_: RequestQueue) -> list[str]:
        taken = await asyncio.gather(
            *(owner.queue.take_over(DEPLOYMENT, now=one.now) for owner in (two, three, two, three))
        )
        return [each.request_id for some in taken for each in some]

    assert sorted(one.run(race)) == sorted(f"r{number}" for number in range(20))


@pytest.mark.parametrize("steps", [*INFERRING.values(), *DELIVERING.values()])
def test_what_is_given_back_can_be_taken_over_at_once(
    one: QueueDriver, two: QueueDriver, steps: list[Step]
) -> None:
    one.enqueue("of two", deployment_id="other")
    assert len(two.run(lambda q: q.claim("other", limit=1, now=two.now))) == 1
    bring(one, steps)
    one.run(lambda q: q.give_back())
    assert one.claim() == []
    assert two.take_over("other") == [], "he keeps his own"
    assert len(two.take_over()) + release(two) == 1
    assert not renew(one)


def test_who_gave_back_and_renews_is_an_owner_as_any_other(one: QueueDriver) -> None:
    bring(one, CLAIM)
    one.run(lambda q: q.give_back())
    one.run(lambda q: q.give_back())
    assert not renew(one)
    assert not one.finish("a")
    assert one.take_over() == ["a"]
    assert one.finish("a")


def test_whoever_opens_the_queue_anew_waits_for_the_lease_of_his_former_life(one: QueueDriver) -> None:
    bring(one, CLAIM)
    one.reopen()
    assert one.take_over() == []
    one.now += LEASE
    assert one.take_over() == ["a"]


def test_who_opens_it_without_leases_ends_all_others(one: QueueDriver, two: QueueDriver) -> None:
    bring(one, CLAIM)
    one.lease_seconds = None
    alone = one.another()
    assert alone.take_over() == ["a"]
    assert not one.finish("a")
    assert not renew(two)
    one.now += 10 * LEASE
    assert two.take_over() == [], "a lease without an end does not end"
    assert alone.finish("a")


def test_what_is_queued_or_over_is_not_taken_over(one: QueueDriver, two: QueueDriver) -> None:
    for name in ("queued", "over", "due"):
        one.enqueue(name, webhook="https://example.com" if name == "due" else None)
    one.run(lambda q: q.cancel("queued", now=one.now))
    one.enqueue("still queued")
    one.claim(2)
    one.finish("over")
    one.finish("due")
    one.now += LEASE
    assert (two.take_over(), release(two)) == ([], 0)
    for owner in (one, two):
        owner.run(lambda q: q.give_back())
        assert (owner.take_over(), release(owner)) == ([], 0)
    renew(two)
    assert [due.request_id for due in two.claim_deliveries()] == ["due"]
    assert two.claim() == ["still queued"]
