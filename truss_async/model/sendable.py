"""What the Truss server can send as JSON: its encoder is Python's own, with numpy's numbers and arrays."""

import sys
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

_KEYS: Final = (str, int, float, type(None))
_SENDABLE_KINDS: Final = "biufU"  # numpy's letters: truth values, whole numbers, fractions, text


def is_sendable_key(key: object) -> bool:
    """Whether it may be a key of a dict."""
    return isinstance(key, _KEYS)


def is_sendable_value(value: object) -> bool:
    """Whether it may stand anywhere in an output; containers are not looked into."""
    if value is None or isinstance(value, str | int | float | dict | list | tuple):
        return True
    numpy: Any = sys.modules.get("numpy")  # whoever made an array has imported it
    if numpy is None:
        return False
    if isinstance(value, numpy.ndarray):
        return value.dtype.kind in _SENDABLE_KINDS
    return isinstance(value, numpy.integer | numpy.floating)


def is_sendable_model(model: object) -> bool:
    """Whether it may be the whole output: the server lets a pydantic model write itself."""
    if not isinstance(model, BaseModel):
        return False
    try:
        model.model_dump_json()
    except (PydanticSerializationError, UnicodeEncodeError):
        return False
    return True
