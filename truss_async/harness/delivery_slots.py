"""How many webhooks are sent at once: so many in all, and of them so many to one server, where the others wait in line."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import urlsplit

MAX_IN_FLIGHT = 1024
MAX_IN_FLIGHT_PER_ENDPOINT = 64


@dataclass(slots=True)
class Slot:
    """A seat for one delivery to one server; who took it gives it back, unless a delivery uses it, which then does."""

    origin: str
    is_used: bool = False


@dataclass(slots=True)
class _Endpoint:
    """What is being sent to one server, and what waits because that is as much as it gets."""

    in_flight: int = 0
    waiting: deque[str] = field(default_factory=deque)


class DeliverySlots:
    """Gives a delivery its slot at once, or when its turn at that server comes; of what waits only the id is held.

    ``on_turn`` gets the request id and the slot; ``on_room`` is called when there is room again after there was none.
    """

    def __init__(self, *, on_turn: Callable[[str, Slot], object], on_room: Callable[[], None]) -> None:
        self._on_turn = on_turn
        self._on_room = on_room
        self._in_flight = 0
        self._endpoints: dict[str, _Endpoint] = {}

    @property
    def room(self) -> int:
        """How many more may be sent; below none when others took slots while what is due was being claimed."""
        return MAX_IN_FLIGHT - self._in_flight

    def try_take(self, webhook_endpoint: str) -> Slot | None:
        """A slot, if there is room."""
        return self._take(_origin(webhook_endpoint)) if self.room > 0 else None

    def take_or_wait(self, webhook_endpoint: str, request_id: str) -> Slot | None:
        """A slot for what is claimed already; None when it waits for its turn."""
        origin = _origin(webhook_endpoint)
        if (slot := self._take(origin)) is None:
            self._endpoints[origin].waiting.append(request_id)
        return slot

    def give_back(self, slot: Slot) -> None:
        """Let the next in the line of its server have it; when nobody waits there, anybody."""
        endpoint = self._endpoints[slot.origin]
        if endpoint.waiting:
            self._on_turn(endpoint.waiting.popleft(), slot)
            return
        endpoint.in_flight -= 1
        self._in_flight -= 1
        if endpoint.in_flight == 0:
            del self._endpoints[slot.origin]
        if self.room == 1:
            self._on_room()

    def dismiss_waiting(self) -> None:
        """Let nobody wait any longer."""
        for endpoint in self._endpoints.values():
            endpoint.waiting.clear()

    def _take(self, origin: str) -> Slot | None:
        endpoint = self._endpoints.setdefault(origin, _Endpoint())
        if endpoint.in_flight >= MAX_IN_FLIGHT_PER_ENDPOINT:
            return None
        endpoint.in_flight += 1
        self._in_flight += 1
        return Slot(origin)


@lru_cache(maxsize=1024)
def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
