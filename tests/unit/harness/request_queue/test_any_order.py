"""Whatever is done to the real queue in whatever order, crashes included: it agrees with a model of the statuses."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.unit.harness.request_queue.driver import DEPLOYMENT, QueueDriver
from truss_async.contract import ErrorDetail, RequestStatus
from truss_async.harness.request_queue import RequestQueue, RequestQueueError

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
BROKEN = ErrorDetail(code="MODEL_PREDICT_ERROR", message="broken")
pytestmark = pytest.mark.timeout(400)  # what fails is shrunk first

STORED = "SELECT r.request_id, b.body FROM {} AS b LEFT JOIN requests AS r USING (seq)"


@dataclass
class Known:
    """What must be true of one request."""

    request_id: str
    priority: int
    has_webhook: bool
    expires_at: datetime
    status: str = "QUEUED"
    webhook_status: str = "NO_WEBHOOK_PROVIDED"
    attempts: int = 0
    next_attempt_at: datetime | None = None
    output: bytes | None = None
    is_delivery_claimed: bool = False
    delivery_due_at: datetime | None = None
    delivery_codes: list[int | None] = field(default_factory=list)
    over_at: datetime | None = None

    @property
    def input(self) -> bytes:
        return f'"in {self.request_id}"'.encode()

    def withdraw(self, status: str, now: datetime) -> None:
        self.status, self.over_at = status, now
        if self.has_webhook:
            self.webhook_status = "CANCELED"


class AnyOrder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="truss-async-any-order-"))
        self.lives = 0
        self.driver = self.opened(START)
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
        new = Known(request_id, priority, has_webhook, self.driver.now + timedelta(seconds=seconds))
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

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def submit_a_known_id_again(self, data: st.DataObject) -> None:
        with pytest.raises(RequestQueueError):
            self.driver.enqueue(self.any_of(data).request_id)

    @rule(limit=st.integers(1, 4))
    def claim(self, limit: int) -> None:
        expected = self.claimable()[:limit]
        claimed = self.driver.run(lambda q: q.claim(DEPLOYMENT, limit=limit, now=self.driver.now))
        assert [(each.request_id, each.model_input) for each in claimed] == [
            (each.request_id, each.input) for each in expected
        ]
        for each in expected:
            each.status = "IN_PROGRESS"

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        asked = self.any_of(data)
        canceled = self.driver.run(lambda q: q.cancel(asked.request_id, now=self.driver.now))
        assert canceled == (asked.status == "QUEUED")
        if canceled:
            asked.withdraw("CANCELED", self.driver.now)

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def claim_and_cancel_at_once(self, data: st.DataObject) -> None:
        """Both in one commit: one of them wins, and only one."""
        asked = self.any_of(data)
        now = self.driver.now
        expected = self.claimable()[:1]

        async def both(queue: RequestQueue) -> tuple[list[str], bool]:
            claimed, canceled = await asyncio.gather(
                queue.claim(DEPLOYMENT, limit=1, now=now), queue.cancel(asked.request_id, now=now)
            )
            return [each.request_id for each in claimed], canceled

        claimed, canceled = self.driver.run(both)
        assert claimed == [each.request_id for each in expected]
        for each in expected:
            each.status = "IN_PROGRESS"
        assert canceled == (asked.status == "QUEUED")
        if canceled:
            asked.withdraw("CANCELED", now)

    @rule(seconds=st.sampled_from([1, 5, 100]))
    def time_passes(self, seconds: int) -> None:
        self.driver.now += timedelta(seconds=seconds)

    @rule()
    def expire(self) -> None:
        now = self.driver.now
        late = [each for each in self.in_status("QUEUED") if each.expires_at <= now]
        assert self.driver.run(lambda q: q.expire(now=now)) == [each.request_id for each in late]
        for each in late:
            each.withdraw("EXPIRED", now)

    @precondition(lambda self: self.in_status("IN_PROGRESS"))
    @rule(data=st.data(), seconds=st.sampled_from([0, 1, 5]))
    def fail_and_retry_later(self, data: st.DataObject, seconds: int) -> None:
        asked = self.any_of(data, self.in_status("IN_PROGRESS"))
        asked.attempts += 1
        asked.next_attempt_at = at = self.driver.now + timedelta(seconds=seconds)
        self.driver.run(
            lambda q: q.retry_later(asked.request_id, attempts=asked.attempts, at=at, errors=[BROKEN])
        )

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def resume(self, data: st.DataObject) -> None:
        asked = self.any_of(data)
        resumed = self.driver.run(lambda q: q.resume(asked.request_id))
        if asked.status == "IN_PROGRESS":
            assert resumed is not None
            assert (resumed.model_input, resumed.attempts_made) == (asked.input, asked.attempts)
            asked.next_attempt_at = None
        else:
            assert resumed is None

    @precondition(lambda self: self.known)
    @rule(data=st.data(), failed=st.booleans(), is_claimed=st.booleans())
    def finish(self, data: st.DataObject, failed: bool, is_claimed: bool) -> None:
        """Also of what is not in progress, or over already: that changes nothing."""
        asked, now = self.any_of(data), self.driver.now
        status = RequestStatus.FAILED if failed else RequestStatus.SUCCEEDED
        output = None if failed else f'"out {asked.request_id}"'.encode()
        is_over = self.driver.run(
            lambda q: q.finish(
                asked.request_id,
                status,
                attempts=asked.attempts + 1,
                data=output,
                errors=[BROKEN] if failed else [],
                now=now,
                is_claimed=is_claimed,
            )
        )
        assert is_over == (asked.status == "IN_PROGRESS")
        if not is_over:
            return
        asked.status, asked.attempts, asked.next_attempt_at = status.value, asked.attempts + 1, None
        if asked.has_webhook:
            asked.output, asked.is_delivery_claimed = output, is_claimed
            asked.delivery_due_at = None if is_claimed else now
        else:
            asked.over_at = now

    @rule(limit=st.integers(1, 4))
    def claim_deliveries(self, limit: int) -> None:
        now = self.driver.now
        due = [(each.delivery_due_at, age, each) for age, each in enumerate(self.known.values())
               if each.delivery_due_at is not None and each.delivery_due_at <= now]  # fmt: skip
        expected = [each for _, _, each in sorted(due, key=lambda item: item[:2])[:limit]]
        claimed = self.driver.run(lambda q: q.claim_deliveries(limit=limit, now=now))
        assert sorted((each.request_id, each.data, each.attempts_made) for each in claimed) == sorted(
            (each.request_id, each.output, len(each.delivery_codes)) for each in expected
        )
        for each in expected:
            each.is_delivery_claimed, each.delivery_due_at = True, None

    @precondition(lambda self: self.claimed_deliveries())
    @rule(data=st.data(), seconds=st.sampled_from([0, 2]))
    def fail_to_deliver(self, data: st.DataObject, seconds: int) -> None:
        asked = self.any_of(data, self.claimed_deliveries())
        at = self.driver.now + timedelta(seconds=seconds)
        self.driver.run(lambda q: q.deliver_later(asked.request_id, self.driver.attempt(503), at=at))
        asked.delivery_codes.append(503)
        asked.is_delivery_claimed, asked.delivery_due_at = False, at

    @precondition(lambda self: self.claimed_deliveries())
    @rule(data=st.data(), is_delivered=st.booleans())
    def deliver(self, data: st.DataObject, is_delivered: bool) -> None:
        asked, now = self.any_of(data, self.claimed_deliveries()), self.driver.now
        code = 200 if is_delivered else None
        for _ in range(2):  # the second time, it is over already
            self.driver.run(
                lambda q: q.finish_delivery(
                    asked.request_id, self.driver.attempt(code), is_delivered=is_delivered, now=now
                )
            )
        asked.delivery_codes.append(code)
        asked.is_delivery_claimed, asked.output, asked.over_at = False, None, now
        asked.webhook_status = "SUCCEEDED" if is_delivered else "FAILED"
        if not is_delivered and asked.status == "SUCCEEDED":
            asked.status = "WEBHOOK_FAILED"

    @rule(seconds=st.sampled_from([0, 5]))
    def forget(self, seconds: int) -> None:
        by_then = self.driver.now - timedelta(seconds=seconds)
        old = [each for each in self.known.values() if each.over_at is not None and each.over_at <= by_then]
        assert self.driver.run(lambda q: q.forget(over_before=by_then)) == len(old)
        for each in old:
            del self.known[each.request_id]

    @rule()
    def restart(self) -> None:
        self.driver.reopen()
        self.deliveries_are_due_again()

    @rule()
    def crash(self) -> None:
        """Go on with what ``kill -9`` would leave: the files as they lie there at this moment."""
        self.lives += 1
        for suffix in ("", "-wal"):
            if (left := Path(f"{self.driver.path}{suffix}")).exists():
                shutil.copy(left, f"{self.path}{suffix}")
        with self.driver as dead:
            self.driver = self.opened(dead.now)
        self.deliveries_are_due_again()

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
        assert self.stored("model_inputs") == {each.request_id: each.input for each in open_ones}
        assert self.stored("model_outputs") == {
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
        waiting = self.driver.run(lambda q: q.in_progress(DEPLOYMENT))
        assert {(each.request_id, each.next_attempt_at) for each in waiting} == {
            (each.request_id, each.next_attempt_at) for each in running
        }
        every = self.known.values()
        self.is_next(lambda q: q.next_expiry(), [each.expires_at for each in queued])
        self.is_next(lambda q: q.next_over(), [each.over_at for each in every])
        self.is_next(lambda q: q.next_delivery(), [each.delivery_due_at for each in every])

    # Looking things up.

    @property
    def path(self) -> Path:
        return self.folder / f"queue-{self.lives}.sqlite3"

    def opened(self, now: datetime) -> QueueDriver:
        """The queue of this life; the machine does not end, so the disk need not be waited for."""
        return QueueDriver(self.path, now=now, is_kept=False)

    def any_of(self, data: st.DataObject, among: list[Known] | None = None) -> Known:
        names = [each.request_id for each in (among if among is not None else self.known.values())]
        return self.known[data.draw(st.sampled_from(names))]

    def in_status(self, status: str) -> list[Known]:
        return [each for each in self.known.values() if each.status == status]

    def claimable(self) -> list[Known]:
        in_time = [each for each in self.in_status("QUEUED") if each.expires_at > self.driver.now]
        return sorted(in_time, key=lambda each: each.priority)

    def claimed_deliveries(self) -> list[Known]:
        return [each for each in self.known.values() if each.is_delivery_claimed]

    def deliveries_are_due_again(self) -> None:
        for each in self.claimed_deliveries():
            each.is_delivery_claimed, each.delivery_due_at = False, self.driver.now

    def stored(self, table: str) -> dict[str, bytes]:
        return dict(self.driver.execute(STORED.format(table)))

    def is_next(
        self,
        ask: Callable[[RequestQueue], Awaitable[datetime | None]],
        moments: list[datetime | None] | list[datetime],
    ) -> None:
        assert self.driver.run(ask) == min((each for each in moments if each is not None), default=None)


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
