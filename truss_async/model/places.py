"""Where something stands in an output, in words and as a name."""

import traceback
from collections.abc import Sequence
from typing import Final, TypeAlias

Place: TypeAlias = Sequence[str | int]

_LONGEST: Final = 120


def spoken(place: Place) -> str:
    """``the output's part pages[3].image``; one that is very long is cut in the middle."""
    if not place:
        return "the output"
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    return f"the output's part {text}"


class UnfitPartError(Exception):
    """What is wrong with a part of an output, as a predicate of its place: ``is a device: …``."""


def in_words(error: BaseException) -> str:
    """What was raised, even by an object that cannot tell."""
    return "".join(traceback.format_exception_only(type(error), error)).strip()
