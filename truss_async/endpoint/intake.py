"""What becomes of a webhook that ``listen`` receives: it is kept, forwarded and reported."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ..webhooks import Delivery
    from .forwarding import Forwarded, Forwarder
    from .relay import Relay


class Keeper(Protocol):
    """Where results are kept, each once."""

    def keep(self, request_id: str, body: bytes) -> bool:
        """Store it; False when that request's result was there already."""

    def find(self, request_id: str) -> bytes | None:
        """What was stored of that request; None when there is nothing. OutputStoreError when nobody can tell."""

    def set_aside(self, request_id: str) -> None:
        """Remember that the application has not acknowledged it, as far as that can be remembered."""

    def acknowledge(self, request_id: str) -> None:
        """It has now."""

    def location_of(self, request_id: str) -> str:
        """Where it is, to show."""


@dataclass(frozen=True)
class Arrival:
    """A delivery, where its body is kept (None when it was refused), and what the application answered.

    ``is_new``: the request's result was not kept before. ``is_done``: it is accepted now, for the first time.
    """

    delivery: Delivery
    kept_in: str | None = None
    is_new: bool = False
    forwarded: Forwarded | None = None
    is_done: bool = False

    @property
    def status_code(self) -> int:
        """What the sender is answered."""
        return self.delivery.status_code if self.forwarded is None else self.forwarded.status_code


class Intake:
    """Keeps each result, then hands it to who waits at the ``relay``, and forwards it, if there is such; ``report`` is
    called before the answer.

    What comes again is forwarded again: it comes because the application has not acknowledged it. Safe to share
    between threads.
    """

    def __init__(
        self,
        keeper: Keeper,
        *,
        forwarder: Forwarder | None,
        report: Callable[[Arrival], None],
        relay: Relay | None = None,
    ) -> None:
        self._keeper = keeper
        self._relay = relay
        self._forwarder = forwarder
        self._report = report
        self._unacknowledged: set[str] = set()
        self._lock = threading.Lock()

    def take(self, delivery: Delivery) -> int | None:
        """The status to answer; None for the receiver's own."""
        if delivery.result is None:
            self._report(Arrival(delivery))
            return None
        request_id = delivery.result.request_id
        is_new = self._keeper.keep(request_id, delivery.body)
        if self._relay is not None:
            self._relay.hand_over(request_id, delivery.body)
        forwarded = None
        if self._forwarder is not None:
            forwarded = self._forwarder.forward(delivery.body, delivery.headers)
            note = self._keeper.acknowledge if forwarded.accepted else self._keeper.set_aside
            note(request_id)
        is_done = self._note(request_id, is_new=is_new, is_accepted=forwarded is None or forwarded.accepted)
        kept_in = self._keeper.location_of(request_id)
        self._report(Arrival(delivery, kept_in, is_new, forwarded, is_done))
        return None if forwarded is None else forwarded.status_code

    def _note(self, request_id: str, *, is_new: bool, is_accepted: bool) -> bool:
        """Whether it is accepted for the first time since it was new."""
        with self._lock:
            is_open = is_new or request_id in self._unacknowledged
            if is_open and not is_accepted:
                self._unacknowledged.add(request_id)
            self._unacknowledged -= {request_id} if is_accepted else set()
            return is_open and is_accepted
