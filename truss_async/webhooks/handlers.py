"""The functions that users give us to handle what arrives: checked when they are given, and called so that they count."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import SettingsError

_YIELDS = "yields, so calling it runs nothing; remove the yield"


def check_handler(handler: Callable[[Any], Any], *, may_be_async: bool = False) -> None:
    """Refuse what could only fail, or seem to handle something, when it is called with one argument.

    Raises:
        SettingsError: it cannot be called, or yields; or it is a coroutine function, which nobody here would await.
    """
    if not callable(handler):
        raise SettingsError(f"the handler must be a function; {_shown(handler)} cannot be called")
    function = _called(handler)
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        raise SettingsError(f"the handler {_shown(handler)} {_YIELDS}")
    if inspect.iscoroutinefunction(function) and not may_be_async:
        raise SettingsError(
            f"the handler {_shown(handler)} is a coroutine function, which is not awaited here; use on_result(), "
            "or call it with asyncio.run()"
        )
    try:
        signature = inspect.signature(handler)
    except (TypeError, ValueError):  # some that are written in C tell none
        return
    try:
        signature.bind(None)
    except TypeError as error:
        raise SettingsError(f"the handler {_shown(handler)} must take one argument: {error}") from None


def call_plainly(handler: Callable[[Any], Any], argument: Any) -> Any:
    """What the handler returns, once it has done its work.

    Raises:
        TypeError: it has not: what it returned would have to be awaited, or iterated.
    """
    outcome = handler(argument)
    if inspect.iscoroutine(outcome):
        outcome.close()
    if inspect.isawaitable(outcome):
        raise TypeError(f"the handler returned {_shown(outcome)}, which is not awaited here")
    refuse_generator(outcome)
    return outcome


def refuse_generator(outcome: object) -> None:
    """TypeError for a generator, of which nothing has run."""
    if inspect.isgenerator(outcome) or inspect.isasyncgen(outcome):
        raise TypeError(f"the handler {_YIELDS}")


def _called(handler: Any) -> Any:
    """The function that runs when it is called."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    if inspect.isroutine(handler) or inspect.isclass(handler):
        return handler
    return type(handler).__call__


def _shown(thing: object) -> str:
    name = getattr(thing, "__qualname__", None)
    return name if isinstance(name, str) else type(thing).__name__
