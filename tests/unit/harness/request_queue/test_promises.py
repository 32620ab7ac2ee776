"""What a request queue promises one owner, whatever keeps it."""

import asyncio
from datetime import timedelta

import pytest

from tests.unit.harness.request_queue.driver import BROKEN, DEPLOYMENT, QueueDriver
from truss_async.harness.request_queue import QueueCounts, RequestQueue, RequestQueueError

MINUTE = timedelta(minutes=1)
MOMENT = timedelta(microseconds=1)


def test_requests_are_claimed_by_priority_then_age(queue: QueueDriver) -> None:
    for name, priority in [("a", 2), ("b", 0), ("c", 1), ("d", 0)]:
        queue.enqueue(name, priority=priority)
    assert queue.claim(3) == ["b", "d", "c"]
    assert queue.claim(3) == ["a"]
    assert queue.claim(3) == []


def test_a_claimed_request_carries_what_an_attempt_needs(queue: QueueDriver) -> None:
    queue.enqueue("a", model_input=b'["input"]', priority=1)
    (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=1, now=queue.now))
    assert (claimed.request_id, claimed.model_input, claimed.attempts_made) == ("a", b'["input"]', 0)
    assert (claimed.priority, claimed.created_at, claimed.order) == (1, queue.now, 1)
    assert claimed.accepted == queue.request("a").accepted


def test_a_request_that_is_begun_when_it_comes_is_as_one_that_was_claimed(queue: QueueDriver) -> None:
    queue.enqueue("a", priority=2)
    begun = queue.run(lambda q: q.begin(queue.request("b", model_input=b'["input"]', priority=1)))
    if begun is None:  # where others may have one that goes first, it is queued
        assert queue.claim() == ["b", "a"]
    else:
        assert (begun.request_id, begun.model_input, begun.attempts_made) == ("b", b'["input"]', 0)
        assert (begun.priority, begun.created_at, begun.order) == (1, queue.now, 2)
        assert begun.accepted == queue.request("b").accepted
        assert queue.claim() == ["a"]
    assert queue.statuses("b") == ("IN_PROGRESS", "PENDING")
    assert queue.run(lambda q: q.counts(DEPLOYMENT)) == QueueCounts(0, 2)
    assert queue.record("b").started_at == queue.now
    assert queue.finish("b")
    assert [due.request_id for due in queue.claim_deliveries()] == ["b"]


def test_a_request_that_was_begun_when_it_came_is_found_by_the_next_owner(queue: QueueDriver) -> None:
    queue.run(lambda q: q.begin(queue.request("a")))
    queue.claim()
    queue.reopen()
    assert queue.take_over() == ["a"]


def test_an_id_that_is_known_is_refused(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    with pytest.raises(RequestQueueError):
        queue.enqueue("a")
    assert queue.statuses("a") == ("IN_PROGRESS", "PENDING")


def test_a_number_in_the_order_of_acceptance_is_not_given_twice(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.run(lambda q: q.cancel("a", now=queue.now))
    assert queue.run(lambda q: q.forget(over_before=queue.now)) == 1
    queue.enqueue("b")
    (claimed,) = queue.run(lambda q: q.claim(DEPLOYMENT, limit=1, now=queue.now))
    assert claimed.order == 2
    queue.finish("b")
    (due,) = queue.claim_deliveries()
    assert due.order == 2


def test_another_deployments_requests_are_not_claimed(queue: QueueDriver) -> None:
    queue.enqueue("a")
    assert queue.run(lambda q: q.claim("other", limit=1, now=queue.now)) == []


def test_an_expired_request_is_never_claimed_even_before_it_is_swept(queue: QueueDriver) -> None:
    queue.enqueue("a", expires_in=MINUTE)
    queue.now += MINUTE
    assert queue.claim() == []


def test_expiring_sends_nothing(queue: QueueDriver) -> None:
    queue.enqueue("a", expires_in=MINUTE)
    queue.enqueue("b", expires_in=MINUTE, webhook=None)
    queue.enqueue("c", expires_in=2 * MINUTE)
    assert queue.run(lambda q: q.next_expiry()) == queue.now + MINUTE
    queue.now += MINUTE
    assert queue.run(lambda q: q.expire(now=queue.now)) == ["a", "b"]
    assert queue.statuses("a") == ("EXPIRED", "CANCELED")
    assert queue.statuses("b") == ("EXPIRED", "NO_WEBHOOK_PROVIDED")
    assert queue.statuses("c") == ("QUEUED", "PENDING")
    assert queue.claim_deliveries() == []


def test_what_is_in_progress_does_not_expire(queue: QueueDriver) -> None:
    queue.enqueue("a", expires_in=MINUTE)
    queue.claim()
    queue.now += 2 * MINUTE
    assert queue.run(lambda q: q.next_expiry()) is None
    assert queue.run(lambda q: q.expire(now=queue.now)) == []
    assert queue.finish("a")


def test_only_a_queued_request_is_cancelled(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.enqueue("b")
    assert queue.claim(1) == ["a"]
    assert not queue.run(lambda q: q.cancel("a", now=queue.now))
    assert queue.run(lambda q: q.cancel("b", now=queue.now))
    assert not queue.run(lambda q: q.cancel("b", now=queue.now))
    assert not queue.run(lambda q: q.cancel("unknown", now=queue.now))
    assert queue.statuses("a") == ("IN_PROGRESS", "PENDING")
    assert queue.statuses("b") == ("CANCELED", "CANCELED")
    assert queue.claim() == []


def test_a_claim_and_a_cancel_at_once_do_not_both_win(queue: QueueDriver) -> None:
    for number in range(20):
        queue.enqueue(f"r{number}")

    async def race(q: RequestQueue) -> tuple[list[str], list[bool]]:
        claiming = asyncio.ensure_future(q.claim(DEPLOYMENT, limit=10, now=queue.now))
        canceled = await asyncio.gather(*(q.cancel(f"r{number}", now=queue.now) for number in range(20)))
        return [each.request_id for each in await claiming], canceled

    claimed, canceled = queue.run(race)
    assert [number for number in range(20) if not canceled[number]] == [int(name[1:]) for name in claimed]


def test_a_result_is_recorded_once(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    assert not queue.finish("a")
    queue.claim()
    assert queue.finish("a")
    assert not queue.finish("a", failed=True)
    assert queue.statuses("a") == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")


def test_a_result_is_given_out_once_until_its_attempt_is_recorded(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    assert queue.finish("a")
    (due,) = queue.claim_deliveries()
    assert (due.request_id, due.data, due.errors, due.attempts_made) == ("a", b'"out"', [], 0)
    assert (due.deployment_id, due.webhook_endpoint) == (DEPLOYMENT, "https://example.com/hook")
    assert queue.claim_deliveries() == []
    assert queue.deliver_later("a", status_code=500, seconds=60)
    assert queue.claim_deliveries() == []
    assert queue.run(lambda q: q.next_delivery()) == queue.now + MINUTE
    queue.now += MINUTE
    (due,) = queue.claim_deliveries()
    assert (due.data, due.attempts_made) == (b'"out"', 1)


def test_results_are_given_out_the_longest_due_first(queue: QueueDriver) -> None:
    for name in "abc":
        queue.enqueue(name)
    queue.claim()
    for name in "cab":
        queue.finish(name)
        queue.now += MOMENT
    assert [[due.request_id for due in queue.claim_deliveries(1)] for _ in "abc"] == [["c"], ["a"], ["b"]]


def test_who_finishes_may_deliver_without_asking_again(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    assert queue.finish("a", is_claimed=True)
    assert queue.run(lambda q: q.next_delivery()) is None
    assert queue.claim_deliveries() == []
    assert queue.deliver("a")
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")


def test_without_a_webhook_nothing_is_delivered(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    queue.claim()
    assert queue.finish("a", is_claimed=True)
    assert queue.run(lambda q: q.claimed_delivery("a")) is None
    assert not queue.deliver("a")
    assert queue.claim_deliveries() == []
    assert queue.statuses("a") == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")


def test_a_claimed_delivery_is_given_out_again_until_its_attempt_is_recorded(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a")
    assert queue.run(lambda q: q.claimed_delivery("a")) is None
    claimed = queue.claim_deliveries()
    assert [queue.run(lambda q: q.claimed_delivery("a"))] == claimed
    queue.deliver("a")
    assert queue.run(lambda q: q.claimed_delivery("a")) is None


def test_only_a_delivery_that_is_claimed_is_recorded(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    assert queue.run(lambda q: q.claimed_delivery("a")) is None
    assert not queue.deliver("a")
    assert not queue.deliver_later("a")
    queue.finish("a")
    assert not queue.deliver_later("a")
    assert not queue.deliver("a")
    queue.claim_deliveries()
    assert queue.deliver("a")
    assert not queue.deliver("a", is_delivered=False)
    assert not queue.deliver_later("a")
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")
    assert len(queue.record("a").deliveries) == 1


def test_every_delivery_attempt_is_kept(queue: QueueDriver) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a", is_claimed=True)
    queue.deliver_later("a", status_code=None, seconds=0)
    queue.claim_deliveries()
    queue.deliver("a")
    assert queue.record("a").deliveries == [queue.attempt(None), queue.attempt(200)]
    assert queue.statuses("a") == ("SUCCEEDED", "SUCCEEDED")


def test_the_latest_deliveries_of_all_come_first(queue: QueueDriver) -> None:
    for name in "ab":
        queue.enqueue(name, webhook=f"https://{name}.example.com")
    queue.claim()
    for name in "abab":
        queue.now += MOMENT
        queue.finish(name)
        queue.claim_deliveries()
        queue.deliver_later(name, seconds=0)
    latest = queue.run(lambda q: q.latest_deliveries(limit=3))
    assert [(sent.request_id, sent.number) for sent in latest] == [("b", 2), ("a", 2), ("b", 1)]
    assert latest[1].webhook_endpoint == "https://a.example.com"
    of_a = queue.run(lambda q: q.deliveries("a"))
    assert [(sent.request_id, sent.number, sent.attempt.status_code) for sent in of_a] == [
        ("a", 1, 503),
        ("a", 2, 503),
    ]
    assert queue.run(lambda q: q.deliveries("unknown")) == []


@pytest.mark.parametrize(
    ("failed", "delivered", "expected"),
    [
        (False, True, ("SUCCEEDED", "SUCCEEDED")),
        (False, False, ("WEBHOOK_FAILED", "FAILED")),
        (True, True, ("FAILED", "SUCCEEDED")),
        (True, False, ("FAILED", "FAILED")),
    ],
)
def test_both_statuses_tell_how_it_ended(
    queue: QueueDriver, failed: bool, delivered: bool, expected: tuple[str, str]
) -> None:
    queue.enqueue("a")
    queue.claim()
    queue.finish("a", failed=failed, is_claimed=True)
    queue.now += MINUTE
    queue.deliver("a", is_delivered=delivered)
    assert queue.statuses("a") == expected
    record = queue.record("a")
    assert (record.finished_at, record.over_at) == (queue.now - MINUTE, queue.now)
    assert record.status.errors == ([BROKEN] if failed else [])


def test_a_retry_waits_in_progress_with_its_error(queue: QueueDriver) -> None:
    queue.enqueue("a")
    assert not queue.retry_later("a")
    queue.claim()
    assert queue.retry_later("a", attempts=1)
    assert queue.statuses("a") == ("IN_PROGRESS", "PENDING")
    record = queue.record("a")
    assert (record.status.errors, record.attempts) == ([BROKEN], 1)
    resumed = queue.run(lambda q: q.resume("a"))
    assert resumed is not None
    assert (resumed.attempts_made, resumed.model_input) == (1, b'{"x":1}')
    queue.finish("a", attempts=2)
    assert not queue.retry_later("a")
    assert queue.run(lambda q: q.resume("a")) is None
    assert queue.run(lambda q: q.resume("unknown")) is None


def test_inputs_and_outputs_are_kept_while_they_are_needed_and_no_longer(queue: QueueDriver) -> None:
    for name in "abcde":
        queue.enqueue(name, model_input=f'"{name}"'.encode(), webhook=None if name == "b" else "https://a.b")
    queue.run(lambda q: q.cancel("c", now=queue.now))
    assert queue.storage.inputs() == {name: f'"{name}"'.encode() for name in "abde"}
    queue.claim()
    queue.retry_later("d")
    queue.finish("a", data=b"1")
    queue.finish("b", data=b"2")
    queue.finish("e", failed=True)
    assert queue.storage.inputs() == {"d": b'"d"'}
    assert queue.storage.outputs() == {"a": b"1"}
    queue.claim_deliveries()
    queue.deliver_later("a", seconds=0)
    assert queue.storage.outputs() == {"a": b"1"}
    queue.claim_deliveries()
    queue.deliver("a", is_delivered=False)
    assert queue.storage.outputs() == {}


def test_a_status_is_forgotten_when_it_has_been_over_long_enough(queue: QueueDriver) -> None:
    queue.enqueue("a", webhook=None)
    queue.enqueue("b")
    queue.claim()
    queue.finish("a")
    queue.finish("b")
    assert queue.run(lambda q: q.next_over()) == queue.now
    assert queue.run(lambda q: q.forget(over_before=queue.now - MINUTE)) == 0
    assert queue.run(lambda q: q.forget(over_before=queue.now)) == 1
    assert queue.run(lambda q: q.record("a")) is None
    assert queue.statuses("b") == ("SUCCEEDED", "PENDING")


def test_counts_tell_what_waits_and_what_runs(queue: QueueDriver) -> None:
    assert queue.run(lambda q: q.open_by_deployment()) == {}
    for name in "abc":
        queue.enqueue(name)
    queue.enqueue("d", deployment_id="other")
    queue.claim(1)
    assert queue.run(lambda q: q.counts(DEPLOYMENT)) == QueueCounts(queued=2, in_progress=1)
    assert queue.run(lambda q: q.open_by_deployment()) == {DEPLOYMENT: 3, "other": 1}
    queue.finish("a")
    assert queue.run(lambda q: q.counts(DEPLOYMENT)) == QueueCounts(queued=2, in_progress=0)
    assert queue.run(lambda q: q.open_by_deployment()) == {DEPLOYMENT: 2, "other": 1}


def test_without_requests_nothing_comes_next(queue: QueueDriver) -> None:
    assert queue.run(lambda q: q.next_expiry()) is None
    assert queue.run(lambda q: q.next_over()) is None
    assert queue.run(lambda q: q.next_delivery()) is None
    assert queue.run(lambda q: q.record("a")) is None


@pytest.mark.parametrize("is_killed", [False, True])
def test_whoever_opens_the_queue_takes_over_all_that_was_in_progress(
    queue: QueueDriver, is_killed: bool
) -> None:
    for name, priority in [("a", 1), ("b", 0), ("c", 0), ("d", 2)]:
        queue.enqueue(name, priority=priority)
    queue.enqueue("of another", deployment_id="other")
    queue.claim(3)
    queue.run(lambda q: q.claim("other", limit=1, now=queue.now))
    queue.retry_later("c", seconds=60)
    if is_killed:
        queue.storage.kill()
    queue.reopen()
    assert queue.run(lambda q: q.resume("a")) is None, "it is taken over first"
    taken = queue.run(lambda q: q.take_over(DEPLOYMENT, now=queue.now))
    assert [(each.request_id, each.priority, each.next_attempt_at) for each in taken] == [
        ("b", 0, None),
        ("c", 0, queue.now + MINUTE),
        ("a", 1, None),
    ]
    assert queue.take_over() == []
    assert queue.run(lambda q: q.resume("a")) is not None
    assert queue.finish("b")
    assert queue.claim() == ["d"]
    assert queue.take_over("other") == ["of another"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_whoever_opens_the_queue_delivers_all_that_was_being_delivered(
    queue: QueueDriver, is_killed: bool
) -> None:
    for name in "abc":
        queue.enqueue(name)
    queue.claim()
    queue.finish("a", is_claimed=True)
    queue.finish("b")
    queue.claim_deliveries()
    queue.finish("c", failed=True, is_claimed=True)
    queue.deliver_later("c", seconds=60)
    if is_killed:
        queue.storage.kill()
    queue.reopen()
    queue.now += timedelta(seconds=1)
    assert queue.claim_deliveries() == []
    assert queue.run(lambda q: q.release_deliveries(now=queue.now)) == 2
    assert queue.run(lambda q: q.release_deliveries(now=queue.now)) == 0
    assert queue.run(lambda q: q.next_delivery()) == queue.now
    assert [(due.request_id, due.data) for due in queue.claim_deliveries()] == [
        ("a", b'"out"'),
        ("b", b'"out"'),
    ]
    queue.now += MINUTE
    assert [(due.request_id, due.data, due.attempts_made) for due in queue.claim_deliveries()] == [
        ("c", None, 1)
    ]


def test_everything_that_was_done_is_there_after_a_kill(queue: QueueDriver) -> None:
    for number in range(50):
        queue.enqueue(f"r{number}")
    queue.claim(5)
    queue.storage.kill()
    queue.reopen()
    assert queue.take_over() == [f"r{number}" for number in range(5)]
    assert len(queue.claim()) == 45


def test_many_at_once_all_take_effect(queue: QueueDriver) -> None:
    count = 2000 if queue.storage.keeps_order else 200  # the latter is many times as many as its connections

    async def flood(q: RequestQueue) -> None:
        await asyncio.gather(*(q.cancel("unknown", now=queue.now) for _ in range(count)))

    queue.run(flood)
    queue.enqueue("a")
    assert queue.claim() == ["a"]


def test_one_failing_operation_does_not_take_others_with_it(queue: QueueDriver) -> None:
    queue.enqueue("a")
    same_id = queue.request("a")

    async def together(q: RequestQueue) -> list[object]:
        return list(
            await asyncio.gather(q.cancel("a", now=queue.now), q.enqueue(same_id), return_exceptions=True)
        )

    cancelled, error = queue.run(together)
    assert cancelled is True
    assert isinstance(error, RequestQueueError)
    assert queue.statuses("a") == ("CANCELED", "CANCELED")


def test_a_closed_queue_says_so(queue: QueueDriver) -> None:
    queue.run(lambda q: q.close())
    queue.run(lambda q: q.close())
    with pytest.raises(RequestQueueError, match="closed"):
        queue.enqueue("a")


def test_no_more_expire_or_are_forgotten_at_once_than_was_asked_for(queue: QueueDriver) -> None:
    for number in range(5):
        queue.enqueue(f"r{number}", expires_in=MINUTE)
    queue.now += MINUTE
    expired = [queue.run(lambda q: q.expire(now=queue.now, limit=2)) for _ in range(4)]
    assert [len(each) for each in expired] == [2, 2, 1, 0]
    assert queue.run(lambda q: q.counts(DEPLOYMENT)) == QueueCounts(0, 0)
    assert [queue.run(lambda q: q.forget(over_before=queue.now, limit=3)) for _ in range(3)] == [3, 2, 0]


def test_what_is_open_is_counted_as_it_comes_and_goes(queue: QueueDriver) -> None:
    def counted() -> tuple[QueueCounts, dict[str, int]]:
        return queue.run(lambda q: q.counts(DEPLOYMENT)), queue.run(lambda q: q.open_by_deployment())

    for name in "abc":
        queue.enqueue(name)
    with pytest.raises(RequestQueueError):
        queue.enqueue("c")
    assert counted() == (QueueCounts(3, 0), {DEPLOYMENT: 3})
    queue.claim(2)
    queue.reopen()
    queue.take_over()
    assert counted() == (QueueCounts(1, 2), {DEPLOYMENT: 3})
    queue.run(lambda q: q.cancel("c", now=queue.now))
    for name in "ab":
        queue.finish(name)
    assert counted() == (QueueCounts(0, 0), {})
