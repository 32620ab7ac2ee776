"""Arrays and numbers of numpy as the Truss server sends them; and those that it cannot send."""

import sys
from typing import Any, Final

from .places import UnfitPartError

_SENDABLE_ARRAYS: Final = "biufU"  # numpy's letters: truth values, whole numbers, fractions, text
_LONG_DOUBLE: Final = "g"
_TIMES: Final = "mM"
_DIGITS_OF_A_SECOND: Final = {"ns": 9, "ps": 12, "fs": 15, "as": 18}


class NumpyValue:
    """An array or a number of numpy: the value in its place, and whether the Truss server could send it itself.

    ``value`` is a list to look into, a single value, or an array of what JSON has.
    """

    def __init__(self, value: Any, *, is_sendable: bool) -> None:
        self.value = value
        self.is_sendable = is_sendable


def numpy_value(value: Any) -> NumpyValue | None:
    """None for one that numpy has not made."""
    numpy: Any = sys.modules.get("numpy")  # whoever made an array has imported it
    if numpy is None or not isinstance(value, numpy.ndarray | numpy.generic):
        return None
    kind = value.dtype.kind
    if kind in _TIMES:
        return NumpyValue(_times(numpy, value), is_sendable=False)
    if value.dtype.char == _LONG_DOUBLE:
        return NumpyValue(value.astype("float64").tolist(), is_sendable=True)
    is_array = isinstance(value, numpy.ndarray)
    if is_array and kind in _SENDABLE_ARRAYS:
        return NumpyValue(value, is_sendable=True)
    is_sendable = isinstance(value, numpy.integer | numpy.floating)
    if kind == "S":
        value = numpy.char.decode(value, "utf-8")
    return NumpyValue(value.tolist(), is_sendable=is_sendable)


def _times(numpy: Any, value: Any) -> Any:
    """Moments as ISO 8601 and spans as Python's, which becomes that, whatever their unit; None for one that is none."""
    if isinstance(value, numpy.ndarray) and value.ndim:
        return [_times(numpy, each) for each in value]
    if numpy.isnat(value):
        return None
    python = value.item() if isinstance(value, numpy.generic) else value[()].item()
    if not isinstance(python, int):
        return python
    if value.dtype.kind == "M":
        whole, dot, fraction = str(numpy.datetime_as_string(value)).partition(".")
        return whole + (dot + fraction).rstrip("0").rstrip(".")
    return _span(numpy, value)


def _span(numpy: Any, value: Any) -> str:
    """A span that is no timedelta, for it is too fine or too long, in ISO 8601."""
    unit, count = numpy.datetime_data(value.dtype)
    number = int(value.astype("int64")) * count
    if unit in ("Y", "M"):
        return f"{'-' if number < 0 else ''}P{abs(number)}{unit}"
    parts = _DIGITS_OF_A_SECOND.get(unit)
    if parts is None:
        raise UnfitPartError(
            f"is a numpy timedelta64 that is too long or has no unit ({value}): return a number"
        )
    seconds, fraction = divmod(abs(number), 10**parts)
    digits = f".{fraction:0{parts}}".rstrip("0").rstrip(".")
    return f"{'-' if number < 0 else ''}PT{seconds}{digits}S"
