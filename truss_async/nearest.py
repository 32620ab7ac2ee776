"""What a mistyped name was meant to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


def suggestion(name: str, known: Collection[str]) -> str:
    """``did you mean 'url'?`` where a known name is near, else ``there are: `` and all of them."""
    near = nearest(name, known)
    return f"did you mean {near!r}?" if near else f"there are: {', '.join(known)}"


def mistyped(names: Collection[str], *, known: Collection[str]) -> dict[str, str]:
    """Those of the names that are near a known one, and that one."""
    found = {name: nearest(name, known) for name in names}
    return {name: near for name, near in found.items() if near is not None}


def nearest(name: str, known: Collection[str]) -> str | None:
    """The known name that is most like it; None when none is."""
    import difflib  # slow to load, and seldom needed

    return next(iter(difflib.get_close_matches(name, known, n=1)), None)
