"""Looking at an input before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .input_file import read_lines
from .ledger import Entry
from .lines import BadLineError, check_size, default_id, parse_line, request_body

if TYPE_CHECKING:
    from .settings import BatchSettings

MOST_TOLD: Final = 20


@dataclass(frozen=True, slots=True)
class Survey:
    """``problems`` are the first ones, by line number, of ``bad`` lines in all."""

    lines: int
    bad: int
    largest_bytes: int
    problems: tuple[tuple[int, str], ...]


def survey(source: str, settings: BatchSettings) -> Survey:
    """What the platform would refuse of an input, as far as that can be told without asking it."""
    lines = bad = largest = 0
    problems: list[tuple[int, str]] = []
    for place, raw in read_lines(source, note=lambda _: None):
        lines += 1
        largest = max(largest, len(raw))
        try:
            parsed = parse_line(raw, number=place.number, bare=settings.bare)
            check_size(request_body(parsed, defaults=settings.request_defaults, webhook_endpoint=None))
        except BadLineError as error:
            bad += 1
            if len(problems) < MOST_TOLD:
                problems.append((place.number, str(error)))
        if lines == settings.limit:
            break
    return Survey(lines, bad, largest, tuple(problems))


def entries(path: Path, *, bare: bool, note: Callable[[bytes], object]) -> Iterator[Entry]:
    """Each line for the ledger; one that is no line is refused there."""
    for place, raw in read_lines(str(path), note=note):
        try:
            yield Entry(place, parse_line(raw, number=place.number, bare=bare).custom_id)
        except BadLineError as error:
            yield Entry(place, default_id(place.number), str(error))
