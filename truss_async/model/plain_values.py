"""Which values are JSON as they are, and what becomes of those that are single values and no JSON."""

import math
import sys
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from pydantic_core import from_json, to_json

from .numpy_values import numpy_value
from .places import UnfitPartError

PLAIN: Final = frozenset({str, int, float, bool, type(None)})
NOTHING: Final[frozenset[type]] = frozenset()

NATIVE: Final = frozenset({datetime, date, time, timedelta, Decimal, UUID})
"""What a caller who wants msgpack is sent as it is."""

_TEXT: Final = frozenset({str})


def is_plain(output: Any) -> bool:
    """Whether the output is, all through, what JSON has: then there is nothing to do. One in itself may pass for it."""
    waiting = [output]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        kind = type(each)
        if kind is dict:
            if not _TEXT.issuperset(map(type, each)):
                return False
            items = each.values()
        elif kind is list or kind is tuple:
            items = each
        elif kind in PLAIN:
            continue
        else:
            return False
        if not PLAIN.issuperset(map(type, items)) and id(each) not in seen:
            seen.add(id(each))
            waiting += (inner for inner in items if type(inner) not in PLAIN)
    return True


def as_base_type(value: str | int | float) -> Any:
    """The text or number of which this is a subclass, as JSON has it: of an enum's member, its value."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    return float.__float__(value)


def checked(value: Any) -> Any:
    """A value of JSON that the Truss server can send: half a character is U+FFFD, and a number has a bound."""
    if type(value) is str and not value.isascii():
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if type(value) is int:
        try:
            int.__repr__(value)
        except ValueError as error:
            raise UnfitPartError(
                f"is a number that Python cannot convert to text ({error}): return it as a string"
            ) from None
    return value


def key_text(key: Any) -> str:
    """What the Truss server makes of a dict's key; of one that it would not take, the text that it is in JSON."""
    if type(key) is str:
        return key
    if isinstance(key, str):
        return str.__str__(key)
    if key is None or isinstance(key, bool):
        return {None: "null", True: "true", False: "false"}[key]
    if isinstance(key, int):
        return str(checked(int(key)))
    if isinstance(key, float):
        if math.isfinite(key):
            return float.__repr__(key)
        return "NaN" if math.isnan(key) else "Infinity" if key > 0 else "-Infinity"
    if isinstance(key, datetime | timedelta):
        return str(written(key))
    try:
        (text,) = from_json(to_json({key: None}, fallback=_number_of))
    except ValueError:
        raise UnfitPartError(f"has a key of type {type(key).__name__}; use a string") from None
    return str(text)


def written(value: Any) -> Any:
    """What the value is in JSON, if it is a single one that has a form there."""
    if isinstance(value, datetime | timedelta):
        if value != value:  # NaT of pandas
            return None
        if getattr(value, "nanosecond", 0) or getattr(
            value, "nanoseconds", 0
        ):  # of pandas, finer than Python's
            return str(value.isoformat())  # type: ignore[union-attr]
    pandas = sys.modules.get("pandas")  # whoever made such a value has imported it
    if pandas is not None and value is pandas.NA:
        return None
    try:
        return from_json(to_json(value, inf_nan_mode="null"))
    except ValueError as error:
        raise UnfitPartError(
            f"is of type {type(value).__name__}, which JSON cannot express ({error}); return dicts, lists, "
            "strings, numbers or files"
        ) from None


def texts_of(keys: Iterable[Any]) -> list[str]:
    """The keys as texts; two that are one text would lose a value."""
    told: dict[str, Any] = {}
    for key in keys:
        text = checked(key_text(key))
        if text in told:
            raise UnfitPartError(
                f"has the keys {told[text]!r} and {key!r}, which are the same in JSON; rename one, or return a list of pairs"
            )
        told[text] = key
    return list(told)


def _number_of(key: Any) -> Any:
    found = numpy_value(key)
    if found is None:
        raise TypeError(f"{type(key).__name__} is no key")
    return found.value
