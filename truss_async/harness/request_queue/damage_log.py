"""What the disk took from a queue since it was opened: told as it is found, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum


class Damaged(str, Enum):
    """What of a request the disk has damaged."""

    REQUEST = "request"
    INPUT = "input"
    RESULT = "result"
    ALL = "all"  # nothing but its id, at most, could be read


@dataclass(frozen=True, slots=True)
class Finding:
    """One request that was found damaged, and a line that says so."""

    what: Damaged
    told: str


class DamageLog:
    """Tells ``report`` of all damage, and counts the requests and the pages of the log that it cost."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._requests: Counter[Damaged] = Counter()
        self._lost_log_pages = 0

    @property
    def requests(self) -> dict[str, int]:
        """How many requests were damaged, by what of them was."""
        return {what.value: self._requests[what] for what in Damaged}

    @property
    def lost_log_pages(self) -> int:
        """How many pages of commits were lost; nobody knows of how many requests."""
        return self._lost_log_pages

    def found(self, findings: Iterable[Finding]) -> None:
        """Requests were damaged."""
        for each in findings:
            self._requests[each.what] += 1
            self._report(each.told)

    def file_mended(self, told: str, *, lost: int) -> None:
        """A damaged file was replaced; so many requests could not be saved."""
        self._requests[Damaged.ALL] += lost
        self._report(told)

    def log_lost(self, told: str, *, pages: int) -> None:
        """The end of the write-ahead log was lost."""
        self._lost_log_pages += pages
        self._report(told)

    def tell(self, told: str) -> None:
        """The file itself cannot be used."""
        self._report(told)
