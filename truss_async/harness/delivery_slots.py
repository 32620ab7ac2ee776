"""How many webhooks are sent at once: so many in all, of them so many to one server, and few to those that do not answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ..contract.webhook_urls import webhook_url

MAX_IN_FLIGHT = 4096
MAX_IN_FLIGHT_PER_ENDPOINT = 64
MAX_REMEMBERED = 10_000
"""How many servers it is remembered of whether they answered."""

Origin: TypeAlias = "tuple[str, str, int]"
NOWHERE: Origin = ("", "", 0)
"""Where what cannot be sent would go: it waits for nobody."""


@dataclass(slots=True)
class Slot:
    """A seat for one delivery to one server; who took it gives it back, unless a delivery uses it, which then does."""

    origin: Origin
    is_used: bool = False


@dataclass(slots=True)
class _Endpoint:
    """What is being sent to one server, and what waits because that is as much as it gets."""

    in_flight: int = 0
    waiting: deque[str] = field(default_factory=deque)
    is_benched: bool = False


class DeliverySlots:
    """Gives a delivery its slot at once, or when its turn at that server comes; of what waits only the id is held.

    A server that answered gets up to MAX_IN_FLIGHT_PER_ENDPOINT while four fifths of all slots are free, and the fewer the
    fewer are. The others, who may keep what they get until it times out, share a quarter of all in this manner; beyond
    that each has one, which shows whether it answers by now, and those that were tried in vain have no more than three eighths.

    ``on_turn`` gets the request id and the slot; ``on_room`` is called when there is room again after there was none.
    """

    def __init__(
        self,
        *,
        on_turn: Callable[[str, Slot], object],
        on_room: Callable[[], None],
        limit: int = MAX_IN_FLIGHT,
    ) -> None:
        self._on_turn = on_turn
        self._on_room = on_room
        self._limit = limit
        self._endpoints: dict[Origin, _Endpoint] = {}
        self._answers: dict[Origin, bool] = {}
        self._taken = 0
        self._in_flight: dict[bool | None, int] = {True: 0, False: 0, None: 0}
        """Of these, to servers that answered, did not, or were not tried yet."""
        self._bench: deque[Origin] = deque()
        """Servers that have no slot, and something waiting."""

    @property
    def room(self) -> int:
        """How many more may be sent; below none when others took slots while what is due was being claimed."""
        return self._limit - self._taken

    def try_take(self, webhook_endpoint: str) -> Slot | None:
        """A slot, if there is room."""
        origin = origin_of(webhook_endpoint)
        endpoint = self._endpoints.get(origin)
        return self._take(origin) if self.room > 0 and not (endpoint and endpoint.waiting) else None

    def take_or_wait(self, webhook_endpoint: str, request_id: str) -> Slot | None:
        """A slot for what is claimed already; None when it waits for its turn."""
        origin = origin_of(webhook_endpoint)
        endpoint = self._endpoints.get(origin)
        if not (endpoint and endpoint.waiting) and (slot := self._take(origin)) is not None:
            return slot
        endpoint = self._endpoints.setdefault(origin, _Endpoint())
        endpoint.waiting.append(request_id)
        self._rest(origin, endpoint)
        return None

    def give_back(self, slot: Slot) -> None:
        """Let the next in the line of its server have it, or another server that has none."""
        had_room = self.room > 0
        endpoint, answers = self._endpoints[slot.origin], self._answers.get(slot.origin)
        endpoint.in_flight -= 1
        self._in_flight[answers] -= 1
        self._taken -= 1
        if answers is not False or not self._bench:  # else the others first
            self._advance(slot.origin, endpoint)
        self._rest(slot.origin, endpoint)
        self._advance_bench()
        if not had_room and self.room > 0:
            self._on_room()

    def heard(self, origin: Origin, *, answered: bool) -> None:
        """A server answered, or did not."""
        if self._answers.get(origin) is answered or origin == NOWHERE:
            return
        self._classify(origin, answered)
        if len(self._answers) > MAX_REMEMBERED:
            self._classify(next(iter(self._answers)), None)
        if (endpoint := self._endpoints.get(origin)) is not None:
            self._advance(origin, endpoint)
        self._advance_bench()

    def dismiss_waiting(self) -> None:
        """Let nobody wait any longer."""
        self._bench.clear()
        self._endpoints = {origin: each for origin, each in self._endpoints.items() if each.in_flight}
        for endpoint in self._endpoints.values():
            endpoint.waiting.clear()
            endpoint.is_benched = False

    def _take(self, origin: Origin) -> Slot | None:
        endpoint, answers = self._endpoints.get(origin), self._answers.get(origin)
        if (endpoint.in_flight if endpoint else 0) >= self._allowance(answers):
            return None
        if endpoint is None:
            endpoint = self._endpoints[origin] = _Endpoint()
        endpoint.in_flight += 1
        self._in_flight[answers] += 1
        self._taken += 1
        return Slot(origin)

    def _allowance(self, answers: bool | None) -> int:
        """How many one such server may have now."""
        if answers:
            share = MAX_IN_FLIGHT_PER_ENDPOINT * 5 * (self._limit - self._taken) // (4 * self._limit)
        elif answers is False and self._in_flight[False] >= max(1, self._limit * 3 // 8):
            return 0
        else:
            share = (self._limit // 4 - self._in_flight[None] - self._in_flight[False]) // 8
        return MAX_IN_FLIGHT_PER_ENDPOINT if share >= MAX_IN_FLIGHT_PER_ENDPOINT else max(1, share)

    def _classify(self, origin: Origin, answers: bool | None) -> None:
        endpoint = self._endpoints.get(origin)
        before = self._answers.pop(origin, None)
        if answers is not None:
            self._answers[origin] = answers
        if endpoint is not None:
            self._in_flight[before] -= endpoint.in_flight
            self._in_flight[answers] += endpoint.in_flight

    def _advance(self, origin: Origin, endpoint: _Endpoint) -> None:
        """Let those go whose turn it is."""
        while endpoint.waiting and (slot := self._take(origin)) is not None:
            self._on_turn(endpoint.waiting.popleft(), slot)

    def _rest(self, origin: Origin, endpoint: _Endpoint) -> None:
        """Let a server that has no slot wait for one; when there is nothing for it, forget it."""
        if endpoint.in_flight or endpoint.is_benched:
            return
        if endpoint.waiting:
            endpoint.is_benched = True
            self._bench.append(origin)
        else:
            self._endpoints.pop(origin, None)

    def _advance_bench(self) -> None:
        while self._bench and self._allowance(self._answers.get(self._bench[0])):
            origin = self._bench.popleft()
            endpoint = self._endpoints[origin]
            endpoint.is_benched = False
            self._advance(origin, endpoint)
            self._rest(origin, endpoint)


def origin_of(webhook_endpoint: str) -> Origin:
    """The server that it is at."""
    try:
        return webhook_url(webhook_endpoint).origin
    except ValueError:
        return NOWHERE
