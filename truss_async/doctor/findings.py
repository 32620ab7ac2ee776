"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from typing import TypeAlias

    Outcome: TypeAlias = Literal["ok", "note", "failed"]


@dataclass(frozen=True)
class Finding:
    """One row: the check, how it ended, what was found, and what to do about it where it failed.

    A ``note`` is what to know, or what could not be looked at; nothing is wrong.
    """

    check: str
    outcome: Outcome
    found: str
    remedy: str = ""
