"""Delivery attempts while faults are set: each is struck by one of them, or is made as it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from ...contract.faults import FaultKind
from ..delivery_slots import origin_of
from ..request_queue import DeliveryAttempt
from .decisions import Occasion, Tampering

if TYPE_CHECKING:
    from ...contract.faults import FaultRule
    from ..activity import Activity
    from ..delivery_slots import Origin
    from ..request_queue import DueDelivery
    from .rules import Faults

    Post = Callable[[DueDelivery, Tampering], Awaitable[DeliveryAttempt]]

NEVER_SENT: Final = "never sent"
_OF_WEBHOOK: Final = frozenset(kind for kind in FaultKind if kind.is_of_webhook)


class FaultyDelivery:
    """Makes delivery attempts by ``post``, once a fault was set."""

    def __init__(self, faults: Faults, *, activity: Activity, timeout_seconds: float) -> None:
        """``timeout_seconds`` is how long a webhook endpoint may take to answer."""
        self._faults = faults
        self._activity = activity
        self._timeout = timedelta(seconds=timeout_seconds)
        self._held: dict[Origin, asyncio.Event] = {}

    @property
    def is_armed(self) -> bool:
        """Whether attempts must be made here."""
        return self._faults.is_armed

    async def attempt(self, due: DueDelivery, post: Post) -> DeliveryAttempt:
        """One delivery attempt, and what it seems to have come to; its error names the fault that struck it."""
        occasion = Occasion(due.request_id, due.deployment_id, due.order, due.attempts_made + 1)
        rule = self._faults.strike(occasion, _OF_WEBHOOK)
        if rule is not None and rule.kind is FaultKind.WEBHOOK_REORDERED:
            await self._hold(due, seconds=rule.length_seconds)
        made = await post(due, Tampering()) if rule is None else await self._struck(due, post, rule)
        if (
            made.error != NEVER_SENT
            and (held := self._held.pop(origin_of(due.webhook_endpoint), None)) is not None
        ):
            held.set()
        if rule is None:
            return made
        fault = f"fault: {rule.kind.value}"
        return made._replace(error=fault if made.error is None else f"{fault}: {made.error}")

    async def _struck(self, due: DueDelivery, post: Post, rule: FaultRule) -> DeliveryAttempt:
        match rule.kind:
            case FaultKind.WEBHOOK_DROPPED:
                return DeliveryAttempt(self._activity.now(), 0, None, NEVER_SENT)
            case FaultKind.WEBHOOK_DOUBLED:
                await post(due, Tampering())
            case FaultKind.WEBHOOK_DELAYED:
                await self._activity.sleep(rule.length_seconds)
            case FaultKind.WEBHOOK_WRONG_SIGNATURE:
                return await post(due, Tampering(is_signed_wrongly=True))
            case FaultKind.WEBHOOK_OLD_TIMESTAMP:
                return await post(due, Tampering(age_seconds=rule.length_seconds))
            case FaultKind.WEBHOOK_ANSWERED_SLOWLY:
                return await self._outwait(await post(due, Tampering()))
        return await post(due, Tampering())

    async def _hold(self, due: DueDelivery, *, seconds: float) -> None:
        """Wait until another webhook was sent to the same server."""
        await self._activity.wait(
            self._held.setdefault(origin_of(due.webhook_endpoint), asyncio.Event()), seconds=seconds
        )

    async def _outwait(self, made: DeliveryAttempt) -> DeliveryAttempt:
        """The attempt as it would be, had the answer taken longer than it may."""
        left = made.sent_at + self._timeout - self._activity.now()
        await self._activity.sleep(left.total_seconds())
        problem = f"no answer within {self._timeout.total_seconds():g} s"
        return made._replace(latency_ms=self._timeout.total_seconds() * 1000, status_code=None, error=problem)
