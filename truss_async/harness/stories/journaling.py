"""A request queue that tells a journal of all that changes in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...contract import RequestStatus, WebhookStatus
from ..request_queue import AT_ONCE
from .problems import tells_of_exception
from .story import Story

if TYPE_CHECKING:
    from ...contract import ErrorDetail
    from ..request_queue import ClaimedRequest, DeliveryAttempt, NewRequest, RequestQueue
    from .journal import Journal


class JournalingQueue:
    """A RequestQueue around another one, which does the keeping."""

    def __init__(self, queue: RequestQueue, journal: Journal, *, now: Callable[[], datetime]) -> None:
        self._queue = queue
        self._journal = journal
        self._now = now
        # What changes nothing that has a place in a story.
        self.lease_seconds = queue.lease_seconds
        self.renew = queue.renew
        self.give_back = queue.give_back
        self.take_over = queue.take_over
        self.release_deliveries = queue.release_deliveries
        self.forget = queue.forget
        self.calm = queue.calm
        self.next_expiry, self.next_over = queue.next_expiry, queue.next_over
        self.kept_result, self.kept_results = queue.kept_result, queue.kept_results
        self.erase_kept, self.next_erasure = queue.erase_kept, queue.next_erasure
        self.claim_deliveries = queue.claim_deliveries
        self.claimed_delivery = queue.claimed_delivery
        self.next_delivery = queue.next_delivery
        self.record = queue.record
        self.deliveries = queue.deliveries
        self.latest_deliveries = queue.latest_deliveries
        self.counts = queue.counts
        self.open_by_deployment = queue.open_by_deployment
        self.check = queue.check
        self.health = queue.health
        self.search = queue.search
        self.oldest_open, self.starting_with = queue.oldest_open, queue.starting_with
        self.status_counts = queue.status_counts
        self.close = queue.close

    async def enqueue(self, request: NewRequest) -> None:
        with self._new_story(request):
            await self._queue.enqueue(request)

    async def begin(self, request: NewRequest) -> ClaimedRequest | None:
        with self._new_story(request):
            begun = await self._queue.begin(request)
        if begun is not None:
            self._note_attempt(begun, request.created_at)
        return begun

    @contextmanager
    def _new_story(self, request: NewRequest) -> Iterator[None]:
        story = Story(
            request.request_id,
            request.deployment_id,
            request.created_at,
            WebhookStatus.PENDING if request.accepted.webhook_endpoint else WebhookStatus.NO_WEBHOOK_PROVIDED,
        )
        # Before it can be claimed.
        self._journal.begin(story)
        self._journal.note(request.request_id, request.created_at, _accepted(request))
        try:
            yield
        except BaseException:
            self._journal.discard(request.request_id)
            raise

    async def claim(self, deployment_id: str, *, limit: int, now: datetime) -> list[ClaimedRequest]:
        claimed = await self._queue.claim(deployment_id, limit=limit, now=now)
        for request in claimed:
            self._note_attempt(request, now)
        return claimed

    async def resume(self, request_id: str) -> ClaimedRequest | None:
        request = await self._queue.resume(request_id)
        if request is not None:
            self._note_attempt(request, self._now())
        return request

    async def retry_later(
        self, request_id: str, *, attempts: int, at: datetime, errors: list[ErrorDetail]
    ) -> bool:
        if not await self._queue.retry_later(request_id, attempts=attempts, at=at, errors=errors):
            return False
        now = self._now()
        what = _failed(attempts, errors) if errors else "the model is busy (429)"
        text = f"{what}; the next in {_seconds(at, now)}"
        self._journal.note(request_id, now, text, next_at=at, **self._errors(request_id, errors))
        return True

    async def finish(
        self,
        request_id: str,
        status: RequestStatus,
        *,
        attempts: int,
        data: bytes | None,
        errors: list[ErrorDetail],
        now: datetime,
        is_claimed: bool = False,
    ) -> bool:
        is_over = await self._queue.finish(
            request_id,
            status,
            attempts=attempts,
            data=data,
            errors=errors,
            now=now,
            is_claimed=is_claimed,
        )
        if is_over:
            if data is not None:
                self._journal.keep_output(request_id, data)
            what = _failed(attempts, errors) if errors else f"inference attempt {attempts} succeeded"
            self._journal.note(
                request_id,
                now,
                f"{what}: {status.value}",
                status=status,
                next_at=None,
                **self._errors(request_id, errors),
            )
        return is_over

    async def cancel(self, request_id: str, *, now: datetime) -> bool:
        is_canceled = await self._queue.cancel(request_id, now=now)
        if is_canceled:
            self._note_end(request_id, now, RequestStatus.CANCELED)
        return is_canceled

    async def expire(self, *, now: datetime, limit: int = AT_ONCE) -> list[str]:
        expired = await self._queue.expire(now=now, limit=limit)
        for request_id in expired:
            self._note_end(request_id, now, RequestStatus.EXPIRED)
        return expired

    async def deliver_later(self, request_id: str, attempt: DeliveryAttempt, *, at: datetime) -> bool:
        if is_kept := await self._queue.deliver_later(request_id, attempt, at=at):
            then = f"the next in {_seconds(at, self._now())}"
            self._note_delivery(request_id, attempt, then=then, next_at=at)
        return is_kept

    async def finish_delivery(
        self, request_id: str, attempt: DeliveryAttempt, *, is_delivered: bool, now: datetime
    ) -> bool:
        if not await self._queue.finish_delivery(request_id, attempt, is_delivered=is_delivered, now=now):
            return False
        story = self._journal.story(request_id)
        changes: dict[str, Any] = {"webhook_status": WebhookStatus.SUCCEEDED, "next_at": None}
        if not is_delivered:
            changes["webhook_status"] = WebhookStatus.FAILED
            if story is not None and story.status is RequestStatus.SUCCEEDED:
                changes["status"] = RequestStatus.WEBHOOK_FAILED
        self._note_delivery(request_id, attempt, then="delivered" if is_delivered else "given up", **changes)
        return True

    async def record_redelivery(
        self, request_id: str, attempt: DeliveryAttempt, *, sent_to: str | None, is_delivered: bool
    ) -> bool:
        is_known = await self._queue.record_redelivery(
            request_id, attempt, sent_to=sent_to, is_delivered=is_delivered
        )
        story = self._journal.story(request_id)
        changes: dict[str, Any] = {}
        if is_delivered and sent_to is None and story is not None:
            changes["webhook_status"] = WebhookStatus.SUCCEEDED
            if story.status is RequestStatus.WEBHOOK_FAILED:
                changes["status"] = RequestStatus.SUCCEEDED
        then = "sent again" if sent_to is None else f"sent again, to {sent_to}"
        self._note_delivery(request_id, attempt, then=then, **changes)
        return is_known

    def _errors(self, request_id: str, errors: list[ErrorDetail]) -> dict[str, Any]:
        changes: dict[str, Any] = {"errors": errors}
        story = self._journal.story(request_id)
        if story is not None and tells_of_exception(errors):
            changes["times_raised"] = story.times_raised + 1
        return changes

    def _note_attempt(self, request: ClaimedRequest, now: datetime) -> None:
        text = f"inference attempt {request.attempts_made + 1} begins"
        self._journal.note(request.request_id, now, text, status=RequestStatus.IN_PROGRESS, next_at=None)

    def _note_end(self, request_id: str, now: datetime, status: RequestStatus) -> None:
        changes: dict[str, Any] = {"status": status}
        story = self._journal.story(request_id)
        if story is not None and story.webhook_status is WebhookStatus.PENDING:
            changes["webhook_status"] = WebhookStatus.CANCELED
        self._journal.note(request_id, now, status.value, **changes)

    def _note_delivery(self, request_id: str, attempt: DeliveryAttempt, *, then: str, **changes: Any) -> None:
        story = self._journal.story(request_id)
        number = 1 if story is None else story.deliveries + 1
        outcome = f"answered {attempt.status_code}" if attempt.error is None else attempt.error
        text = f"delivery attempt {number}: {outcome} ({attempt.latency_ms:.0f} ms); {then}"
        self._journal.note(request_id, attempt.sent_at, text, deliveries=number, **changes)


def _accepted(request: NewRequest) -> str:
    seconds = (request.expires_at - request.created_at).total_seconds()
    webhook = (
        f"webhook to {request.accepted.webhook_endpoint}"
        if request.accepted.webhook_endpoint
        else "no webhook"
    )
    return (
        f"accepted on {request.created_at:%Y-%m-%d at %H:%M:%S} UTC: priority {request.priority}, "
        f"may wait {seconds:g} s, {webhook}"
    )


def _failed(attempts: int, errors: list[ErrorDetail]) -> str:
    return f"inference attempt {attempts} failed: {errors[0].code}: {errors[0].message}"


def _seconds(later: datetime, now: datetime) -> str:
    return f"{(later - now).total_seconds():g} s"
