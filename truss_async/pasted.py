"""Keys and secrets as they were meant, without what comes along when somebody pastes them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from .errors import SettingsError

_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060"  # a byte order mark, and spaces of no width
_QUOTES: Final = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019")


def as_meant(text: str, *, what: str, may_have_lines: bool = False) -> str:
    """The text without white space, quotes and invisible characters round it.

    SettingsError, which names ``what`` it is and quotes none of it, when there is a line break or another control
    character inside, unless it may have lines.
    """
    meant, before = text, None
    while meant != before:
        before = meant
        meant = meant.strip().strip(_INVISIBLE)
        if len(meant) > 1 and meant[0] + meant[-1] in _QUOTES:
            meant = meant[1:-1]
    if not may_have_lines and any(ord(each) < ord(" ") or each == "\x7f" for each in meant):
        raise SettingsError(f"{what} contains a line break or another control character; give a single value")
    return meant


def as_api_key(text: str) -> str:
    """An API key as it was meant: printable ASCII, for a header carries nothing else alike everywhere.

    SettingsError, which quotes none of it, when it is empty or anything else.
    """
    meant = as_meant(text, what="the API key")
    if not meant.isascii() or not meant:
        raise SettingsError("the API key is empty or contains a non-ASCII character")
    return meant


def check_variables(names: Iterable[str]) -> None:
    """SettingsError when one of the variables, which a library reads by itself, holds more than what was meant."""
    for name in names:
        value = os.environ.get(name, "")
        if as_meant(value, what=name) != value:
            raise SettingsError(
                f"{name} has white space, quotes or invisible characters around its value, which would become "
                "part of it; remove them"
            )
