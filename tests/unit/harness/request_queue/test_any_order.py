"""Whatever is done to a real queue in whatever order, by one owner or by three that die and are late: it agrees with a
model of the statuses and the leases.
"""

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from tests.unit.harness.request_queue.storages import STORAGES
from truss_async.harness.request_queue import RequestQueue, RequestQueueError

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
LEASE_SECONDS = 8
pytestmark = pytest.mark.timeout(400)  # what fails is shrunk first

OWNERS = st.integers(0, 2)
"""Each stands for the one, where there is one alone."""


@dataclass
class Known:
    """What must be true of one request; ``owner`` is the number of the lease under which it is worked on."""

    request_id: str
    priority: int
    has_webhook: bool
    expires_at: datetime
    status: str = "QUEUED"
    webhook_status: str = "NO_WEBHOOK_PROVIDED"
    owner: int | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    output: bytes | None = None
    delivery_due_at: datetime | None = None
    delivery_codes: list[int | None] = field(default_factory=list)
    over_at: datetime | None = None

    @property
    def input(self) -> bytes:
        return f'"in {self.request_id}"'.encode()

    @property
    def is_in_progress(self) -> bool:
        return self.status == "IN_PROGRESS"

    @property
    def is_delivery_claimed(self) -> bool:
        return self.owner is not None and not self.is_in_progress

    def withdraw(self, status: str, now: datetime) -> None:
        self.status, self.over_at = status, now
        if self.has_webhook:
            self.webhook_status = "CANCELED"


@dataclass
class Owner:
    """One that has the queue open, and the number of its lease; each lease has another."""

    driver: QueueDriver
    lease: int


class AnyOrder(RuleBasedStateMachine):
    def __init__(self, kept_by: str, lease_seconds: int | None) -> None:
        super().__init__()
        self.lease_seconds = lease_seconds
        self.folder = Path(tempfile.mkdtemp(prefix="truss-async-any-order-"))
        self.storage = STORAGES[kept_by](self.folder)
        self.driver = QueueDriver(self.storage, now=START, lease_seconds=lease_seconds)
        drivers = [self.driver]
        if lease_seconds is not None:
            drivers += [self.driver.another(), self.driver.another()]
        self.leases: dict[int, datetime | None] = {}  # those that nobody ended, and when they end
        self.numbers = itertools.count(1)
        self.owners = [Owner(driver, self.new_lease()) for driver in drivers]
        self.known: dict[str, Known] = {}  # by age
        self.submitted = 0

    def teardown(self) -> None:
        with self.driver:
            pass
        shutil.rmtree(self.folder)

    # What the parts of a harness do, and what then must be so.

    @rule(priority=st.integers(0, 2), has_webhook=st.booleans(), seconds=st.sampled_from([1, 5, 100]))
    def submit(self, priority: int, has_webhook: bool, seconds: int) -> None:
        self.submitted += 1
        request_id = f"r{self.submitted}"
        new = Known(request_id, priority, has_webhook, self.now + timedelta(seconds=seconds))
        if has_webhook:
            new.webhook_status = "PENDING"
        self.driver.enqueue(
            request_id,
            priority=priority,
            webhook="https://example.com/hook" if has_webhook else None,
            model_input=new.input,
            expires_in=timedelta(seconds=seconds),
        )
        self.known[request_id] = new

    @rule(priority=st.integers(0, 2), has_webhook=st.booleans())
    def begin(self, priority: int, has_webhook: bool) -> None:
        """Queued where there are others, who may have something that goes before it."""
        self.submitted += 1
        new = Known(f"r{self.submitted}", priority, has_webhook, self.now + timedelta(seconds=100))
        if has_webhook:
            new.webhook_status = "PENDING"
        asked = self.driver.request(
            new.request_id,
            priority=priority,
            webhook="https://example.com/hook" if has_webhook else None,
            model_input=new.input,
            expires_in=timedelta(seconds=100),
        )
        begun = self.driver.run(lambda q: q.begin(asked))
        assert begun is None or self.lease_seconds is None
        if begun is not None:
            new.status, new.owner = "IN_PROGRESS", self.owner(0).lease
        self.known[new.request_id] = new

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def submit_a_known_id_again(self, data: st.DataObject) -> None:
        with pytest.raises(RequestQueueError):
            self.driver.enqueue(self.any_of(data).request_id)

    @rule(who=OWNERS, limit=st.integers(1, 4))
    def claim(self, who: int, limit: int) -> None:
        owner = self.owner(who)
        expected = self.claimable(owner)[:limit]
        claimed = owner.driver.run(lambda q: q.claim(DEPLOYMENT, limit=limit, now=self.now))
        assert [(each.request_id, each.model_input) for each in claimed] == [
            (each.request_id, each.input) for each in expected
        ]
        for each in expected:
            each.status, each.owner = "IN_PROGRESS", owner.lease

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        asked = self.any_of(data)
        canceled = self.driver.run(lambda q: q.cancel(asked.request_id, now=self.now))
        assert canceled == (asked.status == "QUEUED")
        if canceled:
            asked.withdraw("CANCELED", self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS)
    def claim_and_cancel_at_once(self, data: st.DataObject, who: int) -> None:
        """Where it keeps an order, both in one commit: one of them wins, and only one."""
        asked, owner = self.any_of(data), self.owner(who)
        expected = self.claimable(owner)[:1]

        async def both(queue: RequestQueue) -> tuple[list[str], bool]:
            claiming = asyncio.ensure_future(queue.claim(DEPLOYMENT, limit=1, now=self.now))
            if not self.storage.keeps_order:
                await claiming
            canceling = asyncio.ensure_future(queue.cancel(asked.request_id, now=self.now))  # begun after it
            return [each.request_id for each in await claiming], await canceling

        claimed, canceled = owner.driver.run(both)
        assert claimed == [each.request_id for each in expected]
        for each in expected:
            each.status, each.owner = "IN_PROGRESS", owner.lease
        assert canceled == (asked.status == "QUEUED")
        if canceled:
            asked.withdraw("CANCELED", self.now)

    @rule(seconds=st.sampled_from([1, 5, 100]))
    def time_passes(self, seconds: int) -> None:
        self.driver.now += timedelta(seconds=seconds)

    @rule()
    def expire(self) -> None:
        late = [each for each in self.in_status("QUEUED") if each.expires_at <= self.now]
        expired = self.driver.run(lambda q: q.expire(now=self.now))
        assert expired == [each.request_id for each in late]
        for each in late:
            each.withdraw("EXPIRED", self.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS, seconds=st.sampled_from([0, 1, 5]))
    def fail_and_retry_later(self, data: st.DataObject, who: int, seconds: int) -> None:
        asked, owner, is_ours = self.asked_of(data, who, self.inferred_by)
        attempts = asked.attempts + 1
        assert is_ours == owner.driver.retry_later(asked.request_id, attempts=attempts, seconds=seconds)
        if is_ours:
            asked.attempts, asked.next_attempt_at = attempts, self.now + timedelta(seconds=seconds)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS)
    def resume(self, data: st.DataObject, who: int) -> None:
        asked, owner, is_ours = self.asked_of(data, who, self.inferred_by)
        resumed = owner.driver.run(lambda q: q.resume(asked.request_id))
        if is_ours:
            assert resumed is not None
            assert (resumed.model_input, resumed.attempts_made) == (asked.input, asked.attempts)
            asked.next_attempt_at = None
        else:
            assert resumed is None

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS, failed=st.booleans(), is_claimed=st.booleans())
    def finish(self, data: st.DataObject, who: int, failed: bool, is_claimed: bool) -> None:
        """Also of what is not in progress, over already, or another's: that changes nothing."""
        asked, owner, is_ours = self.asked_of(data, who, self.inferred_by)
        output = None if failed else f'"out {asked.request_id}"'.encode()
        is_over = owner.driver.finish(
            asked.request_id, data=output, failed=failed, attempts=asked.attempts + 1, is_claimed=is_claimed
        )
        assert is_over == is_ours
        if not is_over:
            return
        asked.status = "FAILED" if failed else "SUCCEEDED"
        asked.attempts, asked.next_attempt_at, asked.owner = asked.attempts + 1, None, None
        if not asked.has_webhook:
            asked.over_at = self.now
            return
        asked.output = output
        if is_claimed:
            asked.owner = owner.lease
        else:
            asked.delivery_due_at = self.now

    @rule(who=OWNERS, limit=st.integers(1, 4))
    def claim_deliveries(self, who: int, limit: int) -> None:
        owner = self.owner(who)
        due = [(each.delivery_due_at, age, each) for age, each in enumerate(self.known.values())
               if each.delivery_due_at is not None and each.delivery_due_at <= self.now]  # fmt: skip
        expected = [each for _, _, each in sorted(due, key=lambda item: item[:2])[:limit]]
        if owner.lease not in self.leases:
            expected = []
        claimed = owner.driver.claim_deliveries(limit)
        assert sorted((each.request_id, each.data, each.attempts_made) for each in claimed) == sorted(
            (each.request_id, each.output, len(each.delivery_codes)) for each in expected
        )
        for each in expected:
            each.owner, each.delivery_due_at = owner.lease, None

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS)
    def look_at_a_claimed_delivery_again(self, data: st.DataObject, who: int) -> None:
        asked, owner, is_ours = self.asked_of(data, who, self.delivered_by)
        found = owner.driver.run(lambda q: q.claimed_delivery(asked.request_id))
        assert (found is not None) == is_ours
        assert found is None or found.data == asked.output

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS, seconds=st.sampled_from([0, 2]))
    def fail_to_deliver(self, data: st.DataObject, who: int, seconds: int) -> None:
        asked, owner, is_ours = self.asked_of(data, who, self.delivered_by)
        assert is_ours == owner.driver.deliver_later(asked.request_id, status_code=503, seconds=seconds)
        if is_ours:
            asked.delivery_codes.append(503)
            asked.owner, asked.delivery_due_at = None, self.now + timedelta(seconds=seconds)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), who=OWNERS, is_delivered=st.booleans())
    def deliver(self, data: st.DataObject, who: int, is_delivered: bool) -> None:
        asked, owner, is_ours = self.asked_of(data, who, self.delivered_by)
        code = 200 if is_delivered else None
        assert is_ours == owner.driver.deliver(asked.request_id, status_code=code, is_delivered=is_delivered)
        if not is_ours:
            return
        asked.delivery_codes.append(code)
        asked.owner, asked.output, asked.over_at = None, None, self.now
        asked.webhook_status = "SUCCEEDED" if is_delivered else "FAILED"
        if not is_delivered and asked.status == "SUCCEEDED":
            asked.status = "WEBHOOK_FAILED"

    @rule(seconds=st.sampled_from([0, 5]))
    def forget(self, seconds: int) -> None:
        by_then = self.now - timedelta(seconds=seconds)
        old = [each for each in self.known.values() if each.over_at is not None and each.over_at <= by_then]
        assert self.driver.run(lambda q: q.forget(over_before=by_then)) == len(old)
        for each in old:
            del self.known[each.request_id]

    # Leases, lives and deaths.

    @rule(who=OWNERS)
    def renew(self, who: int) -> None:
        owner = self.owner(who)
        is_kept = owner.driver.run(lambda q: q.renew(now=self.now))
        assert is_kept == (owner.lease in self.leases)
        if is_kept:
            self.leases[owner.lease] = self.lease_end()
        else:
            owner.lease = self.new_lease()

    @rule(who=OWNERS)
    def give_back(self, who: int) -> None:
        owner = self.owner(who)
        owner.driver.run(lambda q: q.give_back())
        self.leases.pop(owner.lease, None)

    @rule(who=OWNERS)
    def take_over(self, who: int) -> None:
        owner = self.owner(who)
        self.end_late_leases(owner)
        left = [each for each in self.in_status("IN_PROGRESS") if each.owner not in self.leases]
        expected = sorted(left, key=lambda each: each.priority)
        taken = owner.driver.run(lambda q: q.take_over(DEPLOYMENT, now=self.now))
        assert [(each.request_id, each.priority, each.next_attempt_at) for each in taken] == [
            (each.request_id, each.priority, each.next_attempt_at) for each in expected
        ]
        for each in expected:
            each.owner = owner.lease

    @rule(who=OWNERS)
    def release_deliveries(self, who: int) -> None:
        owner = self.owner(who)
        self.end_late_leases(owner)
        left = [each for each in self.known.values()
                if each.is_delivery_claimed and each.owner not in self.leases]  # fmt: skip
        assert owner.driver.run(lambda q: q.release_deliveries(now=self.now)) == len(left)
        for each in left:
            each.owner, each.delivery_due_at = None, self.now

    @rule(who=OWNERS)
    def restart(self, who: int) -> None:
        self.reopen(self.owner(who))

    @rule()
    def crash(self) -> None:
        self.storage.kill()
        for owner in self.owners:
            self.reopen(owner)

    # What must be so at any time.

    @invariant()
    def every_request_stands_where_it_must(self) -> None:
        for each in self.known.values():
            record = self.driver.record(each.request_id)
            assert (record.status.status.value, record.status.webhook_status.value) == (
                each.status,
                each.webhook_status,
            )
            assert (record.attempts, record.over_at) == (each.attempts, each.over_at)
            assert [sent.status_code for sent in record.deliveries] == each.delivery_codes

    @invariant()
    def inputs_and_outputs_are_there_exactly_as_long_as_they_are_needed(self) -> None:
        open_ones = [*self.in_status("QUEUED"), *self.in_status("IN_PROGRESS")]
        assert self.storage.inputs() == {each.request_id: each.input for each in open_ones}
        assert self.storage.outputs() == {
            each.request_id: each.output for each in self.known.values() if each.output is not None
        }

    @invariant()
    def the_queue_counts_and_schedules_what_there_is(self) -> None:
        queued, running = self.in_status("QUEUED"), self.in_status("IN_PROGRESS")
        counts = self.driver.run(lambda q: q.counts(DEPLOYMENT))
        assert (counts.queued, counts.in_progress) == (len(queued), len(running))
        open_count = len(queued) + len(running)
        assert self.driver.run(lambda q: q.open_by_deployment()) == (
            {DEPLOYMENT: open_count} if open_count else {}
        )
        every = self.known.values()
        self.is_next(lambda q: q.next_expiry(), [each.expires_at for each in queued])
        self.is_next(lambda q: q.next_over(), [each.over_at for each in every])
        self.is_next(lambda q: q.next_delivery(), [each.delivery_due_at for each in every])

    # Looking things up.

    @property
    def now(self) -> datetime:
        return self.driver.now

    def owner(self, who: int) -> Owner:
        return self.owners[who % len(self.owners)]

    def any_of(self, data: st.DataObject) -> Known:
        return self.known[data.draw(st.sampled_from(list(self.known)))]

    def asked_of(
        self, data: st.DataObject, who: int, is_its: Callable[[Known, Owner], bool]
    ) -> tuple[Known, Owner, bool]:
        """Any request, mostly one that is the owner's; the owner; whether it is."""
        owner = self.owner(who)
        likely = [each.request_id for each in self.known.values() if is_its(each, owner)]
        asked = self.known[data.draw(st.sampled_from([*likely * 3, *self.known]))]
        return asked, owner, is_its(asked, owner)

    @staticmethod
    def inferred_by(each: Known, owner: Owner) -> bool:
        return each.is_in_progress and each.owner == owner.lease

    @staticmethod
    def delivered_by(each: Known, owner: Owner) -> bool:
        return each.is_delivery_claimed and each.owner == owner.lease

    def in_status(self, status: str) -> list[Known]:
        return [each for each in self.known.values() if each.status == status]

    def claimable(self, owner: Owner) -> list[Known]:
        if owner.lease not in self.leases:
            return []
        in_time = [each for each in self.in_status("QUEUED") if each.expires_at > self.now]
        return sorted(in_time, key=lambda each: each.priority)

    def is_next(
        self,
        ask: Callable[[RequestQueue], Awaitable[datetime | None]],
        moments: list[datetime | None] | list[datetime],
    ) -> None:
        assert self.driver.run(ask) == min((each for each in moments if each is not None), default=None)

    def lease_end(self) -> datetime | None:
        return None if self.lease_seconds is None else self.now + timedelta(seconds=self.lease_seconds)

    def new_lease(self) -> int:
        number = next(self.numbers)
        self.leases[number] = self.lease_end()
        return number

    def end_late_leases(self, by: Owner) -> None:
        for lease, end in list(self.leases.items()):
            if lease != by.lease and end is not None and end <= self.now:
                del self.leases[lease]

    def reopen(self, owner: Owner) -> None:
        owner.driver.reopen()
        if self.lease_seconds is None:
            self.leases.clear()
        owner.lease = self.new_lease()


@pytest.mark.parametrize("lease_seconds", [None, LEASE_SECONDS], ids=["one owner", "three owners"])
@pytest.mark.parametrize("kept_by", STORAGES)
def test_any_order(kept_by: str, lease_seconds: int | None) -> None:
    class Machine(AnyOrder):
        def __init__(self) -> None:
            super().__init__(kept_by, lease_seconds)

    examples = 30 if kept_by == "sqlite" else 3  # its steps take ten times as long
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
