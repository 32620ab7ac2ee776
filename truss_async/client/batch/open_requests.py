"""What was accepted and has no result yet, in the order of age."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult

PAUSE_FACTOR: Final = 1.6


@dataclass(slots=True, eq=False)
class OpenRequest:
    """One submission of a line. ``age`` numbers them in the order in which they were begun."""

    number: int
    custom_id: str
    age: int
    request_id: str
    attempts: int  # this one counts
    looks: int = 0
    asks: int = 0
    is_hole: bool = False
    over_since: float | None = None
    lost_why: str = ""
    failed_attempt: AsyncPredictResult | None = None


class AgeQueue:
    """Whose turn it is: of those that are due, the oldest. What was put off is not due before its moment."""

    def __init__(self) -> None:
        self._due: list[int] = []
        self._put_off: list[tuple[float, int]] = []

    def add(self, age: int, *, at: float = 0.0) -> None:
        """Have it due from a moment on; at once by default."""
        if at > 0:
            heapq.heappush(self._put_off, (at, age))
        else:
            heapq.heappush(self._due, age)

    def take(self, now: float) -> int | None:
        """The oldest that is due, which is not in the queue any more; None: nothing is due."""
        while self._put_off and self._put_off[0][0] <= now:
            heapq.heappush(self._due, heapq.heappop(self._put_off)[1])
        return heapq.heappop(self._due) if self._due else None


class OpenRequests:
    """Finds them by request id, and says which to look for and which to ask about."""

    def __init__(self, *, first_pause_seconds: float, longest_pause_seconds: float) -> None:
        self._first_pause_seconds, self._longest_pause_seconds = first_pause_seconds, longest_pause_seconds
        self._by_age: dict[int, OpenRequest] = {}
        self._by_id: dict[str, OpenRequest] = {}
        self._looks = AgeQueue()
        self._asks = AgeQueue()
        self.youngest_settled = -1
        self._unwatched = -1

    def __len__(self) -> int:
        return len(self._by_age)

    def __iter__(self) -> Iterator[OpenRequest]:
        return iter(list(self._by_age.values()))

    def add(self, request: OpenRequest) -> None:
        self._by_age[request.age] = self._by_id[request.request_id] = request
        self._looks.add(request.age)
        self._asks.add(request.age)

    def find(self, request_id: str) -> OpenRequest | None:
        return self._by_id.get(request_id)

    def remove(self, request: OpenRequest) -> bool:
        """Take it out: its end is known; False when somebody else did so before."""
        if self._by_age.pop(request.age, None) is None:
            return False
        self._by_id.pop(request.request_id, None)
        return True

    def settled(self, request: OpenRequest) -> None:
        """It has come to its end by itself: what is older should have come by now."""
        self.youngest_settled = max(self.youngest_settled, request.age)

    def mark_unwatched(self) -> None:
        """Results of those that are open now may have come while nobody was there to take them."""
        self._unwatched = max(self._by_age, default=-1)

    def is_unwatched(self, request: OpenRequest) -> bool:
        """Whether its result may have come to nobody."""
        return request.age <= self._unwatched

    def still_comes(self) -> None:
        """The oldest of those still waits, so the others do, which come after it."""
        self._unwatched = -1

    def to_look_for(self, now: float, *, most: int) -> list[OpenRequest]:
        """The oldest that are due to be looked for; each is due again only when it was put off."""
        found: list[OpenRequest] = []
        while len(found) < most and (age := self._looks.take(now)) is not None:
            if (request := self._by_age.get(age)) is not None:
                found.append(request)
        return found

    def look_again(self, request: OpenRequest, now: float, *, soon: bool = False) -> None:
        """It was not there: look later and later, or soon."""
        request.looks = 0 if soon else request.looks + 1
        pause = min(
            self._first_pause_seconds * PAUSE_FACTOR ** min(request.looks, 20), self._longest_pause_seconds
        )
        self._looks.add(request.age, at=now + pause)

    def to_ask_about(self, now: float, *, is_silent: bool) -> OpenRequest | None:
        """The oldest that is due and was overtaken by younger ones, or unwatched; or the oldest, when nothing comes at all."""
        while (age := self._asks.take(now)) is not None:
            request = self._by_age.get(age)
            if request is None:
                continue
            if age < self.youngest_settled or age <= self._unwatched or is_silent:
                return request
            self._asks.add(age)
            return None
        return None

    def ask_again(self, request: OpenRequest, *, at: float) -> None:
        """It may be asked about from that moment on."""
        self._asks.add(request.age, at=at)
