"""Any output as JSON, and what of it the Truss server could send itself: its encoder is Python's own, with numpy's."""

import sys
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from ..contract.json_text import parse, write
from ..contract.result_json import without_lone_surrogates
from ..errors import OutputError

_KEYS: Final = (str, int, float, type(None))
_SENDABLE_KINDS: Final = "biufU"  # numpy's letters: truth values, whole numbers, fractions, text


def output_json(output: Any) -> bytes:
    """JSON that any parser reads, NaN and infinities as null: what the Truss server would send, wherever that is valid."""
    try:
        return _model_to_json(output) if isinstance(output, BaseModel) else _plain_to_json(output)
    except ValueError as error:
        try:
            return _plain_to_json(without_lone_surrogates(output))
        except ValueError:
            raise OutputError(f"the output cannot become JSON: {error}") from error


def plain_json(value: Any) -> Any:
    """The value as it will be once it has been JSON."""
    return parse(_plain_to_json(value))


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


def _encode_numbers(value: Any) -> Any:
    """Numbers and lists for the arrays and scalars of numpy, and of whatever else has ``tolist``."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not serialisable")


def _model_to_json(model: BaseModel) -> bytes:
    """By the model's own rules, as the Truss server does it; by ours where those fail, or allow what is no JSON."""
    try:
        body = model.model_dump_json().encode()
    except (PydanticSerializationError, UnicodeEncodeError):
        return _plain_to_json(model)
    return _plain_to_json(parse(body)) if b"NaN" in body or b"Infinity" in body else body


def _plain_to_json(value: Any) -> bytes:
    return write(value, by_alias=False, inf_nan_mode="null", fallback=_encode_numbers)
