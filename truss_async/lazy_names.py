"""Names of a package that are loaded when they are first used, so that whoever needs one does not load them all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


def lazily(
    package: str, homes: Mapping[str, Collection[str]], *, extras: Collection[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's ``__getattr__``, ``__dir__`` and ``__all__``: ``homes`` are its modules, with the names in each.

    Where one of the ``extras`` is not installed, a name below it says how to install it.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    public = sorted(home_of)

    def load(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        try:
            value = getattr(import_module(f".{home}", package), name)
        except ModuleNotFoundError as error:
            extra = home.partition(".")[0]
            if extra not in extras:
                raise
            from .errors import MissingExtraError

            raise MissingExtraError(str(error.name), extra=extra, purpose=name) from error
        vars(sys.modules[package])[name] = value
        return value

    return load, lambda: sorted(public), public
