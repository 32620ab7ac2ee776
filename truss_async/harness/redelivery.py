"""Sending a result again, by hand, as long as it is kept."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..contract.webhook_urls import webhook_url
from ..errors import HarnessError
from .decisions import is_delivered
from .delivery import UnsendableError
from .request_queue import RecordedDelivery
from .webhook_targets import PrivateTargetError, check_target

if TYPE_CHECKING:
    from .activity import Activity
    from .delivery import Delivery
    from .request_queue import DueDelivery, RequestQueue

AT_ONCE: Final = 64


class NotKeptError(HarnessError):
    """The result of the request is not kept here, or no more."""


class NoTargetError(HarnessError):
    """The result cannot be sent there, or nobody has said where."""


class Redelivery:
    """Sends kept results again: newly signed, with the secrets of the moment, and dated by the clock of the harness.

    What comes of it is recorded as a delivery attempt of the request. ``is_guarded``: only to public addresses.
    """

    def __init__(
        self, *, queue: RequestQueue, delivery: Delivery, activity: Activity, is_guarded: bool
    ) -> None:
        self._queue = queue
        self._delivery = delivery
        self._activity = activity
        self._is_guarded = is_guarded
        self._seats = asyncio.Semaphore(AT_ONCE)

    async def redeliver(self, request_id: str, *, to: str | None = None) -> RecordedDelivery:
        """One POST to the webhook endpoint of the request, or to another URL; return what came of it.

        It is not repeated: whoever asked is told, and may ask again. Acknowledged at its own endpoint, a request whose
        webhook had failed has succeeded.

        Raises:
            NotKeptError: there is nothing to send.
            NoTargetError: there is nowhere to send it.
            RequestQueueError: the queue cannot be read or written, or the result is damaged.
        """
        async with self._seats:
            return await self._activity.start(self._redeliver(request_id, to))

    async def _redeliver(self, request_id: str, to: str | None) -> RecordedDelivery:
        kept = await self._queue.kept_result(request_id, now=self._activity.now())
        if kept is None:
            raise NotKeptError(
                f"no result of {request_id} is kept; start the harness with --keep-results 1h to keep results "
                "for an hour. Without it, results are deleted once they are delivered"
            )
        due = self._addressed(kept, to)
        try:
            attempt = await self._delivery.attempt(due)
        except UnsendableError as error:
            raise NoTargetError(f"the result of {request_id} cannot be sent: {error}") from None
        sent_to = None if due.webhook_endpoint == kept.webhook_endpoint else due.webhook_endpoint
        await self._queue.record_redelivery(
            request_id, attempt, sent_to=sent_to, is_delivered=is_delivered(attempt.status_code)
        )
        return RecordedDelivery(request_id, due.webhook_endpoint, kept.attempts_made + 1, attempt)

    def _addressed(self, kept: DueDelivery, to: str | None) -> DueDelivery:
        if to is None:
            if not kept.webhook_endpoint:
                raise NoTargetError(
                    f"request {kept.request_id} has no webhook endpoint; give a URL to send it to"
                )
            return kept
        try:
            url = webhook_url(to)
            if self._is_guarded:
                check_target(url)
        except (ValueError, PrivateTargetError) as error:
            raise NoTargetError(f"webhook_endpoint: {error}") from None
        return kept._replace(accepted=replace(kept.accepted, webhook_endpoint=to))
