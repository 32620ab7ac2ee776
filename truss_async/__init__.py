"""Async inference on Baseten: no output is ever lost, and the whole path runs on a laptop.

Names are loaded when they are first used: importing this package imports nothing else.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

if TYPE_CHECKING:
    from .errors import TrussAsyncError as TrussAsyncError

_HOMES = {
    "TrussAsyncError": "errors",
}

__all__ = ["TrussAsyncError", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
