"""What remembers the lines of a flow: the protocol, and the one in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from .ledger import MOST_UNANSWERED
from .verdicts import LOST, Failure

if TYPE_CHECKING:
    from ...contract import AsyncPredictResult
    from .ledger import Ended

NEVER_ANSWERED: Final = Failure(
    LOST,
    f"{MOST_UNANSWERED} submissions of it were not answered; it may be what ends the server that should",
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A line to submit now; that it is about to be is stored. ``attempts`` are those that became a request before."""

    number: int
    custom_id: str
    submission: int
    attempts: int
    body: bytes


class Journal(Protocol):
    """Each method returns once what it says is stored.

    Raises:
        LedgerError: from every method: it cannot be.
    """

    @property
    def waiting(self) -> int:
        """Lines to be submitted, some of them again."""

    async def take(self) -> Taken | None:
        """Begin a submission; None when no line waits."""

    async def accepted(self, taken: Taken, request_id: str) -> bool:
        """It became a request; False when the line has its result already."""

    async def put_back(self, number: int, submission: int, *, ended: Ended) -> None:
        """Let the line wait again."""

    async def failed(self, number: int, submission: int, failure: Failure) -> None:
        """Give the line up, unless it is over, or was submitted anew."""

    async def done(self, number: int, result: AsyncPredictResult) -> None:
        """The line has its result, if it is the first one."""

    async def find(self, request_id: str, *, submission: int) -> int | None:
        """The line that a request belongs to; None: to none."""


class MemoryJournal:
    """Lines that come from elsewhere one by one, and go when they are over; nothing survives the process.

    ``on_end`` is told what becomes of each.
    """

    def __init__(self, on_end: Callable[[int, AsyncPredictResult | Failure, str | None], None]) -> None:
        self._on_end = on_end
        self._bodies: dict[int, bytes] = {}
        self._attempts: dict[int, int] = {}
        self._unanswered: dict[int, int] = {}
        self._request_ids: dict[int, str] = {}
        self._waiting: deque[int] = deque()
        self._submissions = 0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def add(self, number: int, body: bytes) -> None:
        """Have a line submitted."""
        self._bodies[number] = body
        self._attempts[number] = self._unanswered[number] = 0
        self._waiting.append(number)

    def add_open(self, number: int) -> None:
        """A line whose one submission was accepted already."""
        self._bodies[number] = b""
        self._attempts[number], self._unanswered[number] = 1, 0

    async def take(self) -> Taken | None:
        if not self._waiting:
            return None
        number = self._waiting.popleft()
        self._submissions += 1
        return Taken(number, str(number), self._submissions, self._attempts[number], self._bodies[number])

    async def accepted(self, taken: Taken, request_id: str) -> bool:
        if taken.number not in self._bodies:
            return False
        self._attempts[taken.number] += 1
        self._request_ids[taken.number] = request_id
        return True

    async def put_back(self, number: int, submission: int, *, ended: Ended) -> None:
        self._unanswered[number] += ended == "unanswered"
        if self._unanswered[number] >= MOST_UNANSWERED:
            self._end(number, NEVER_ANSWERED)
        else:
            self._waiting.append(number)

    async def failed(self, number: int, submission: int, failure: Failure) -> None:
        self._end(number, failure)

    async def done(self, number: int, result: AsyncPredictResult) -> None:
        self._end(number, result)

    async def find(self, request_id: str, *, submission: int) -> int | None:
        return None

    def _end(self, number: int, end: AsyncPredictResult | Failure) -> None:
        if self._bodies.pop(number, None) is not None:
            del self._attempts[number], self._unanswered[number]
            self._on_end(number, end, self._request_ids.pop(number, None))
