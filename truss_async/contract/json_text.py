"""Users' JSON, read and written at any depth up to one limit: what is sent is never refused for the parser's sake.

pydantic does it in C as long as it can, some 200 levels. What it refuses for its depth is walked, and as strictly: UTF-8,
no half characters, of two members with one name the last.
"""

import json
import marshal
import math
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json
from typing_extensions import Self

from .deep_json import HALF, MAX_DEPTH, DeepReader, without_halves, write_deep

IN_AN_ENVELOPE: Final = MAX_DEPTH + 1
"""The depth of an object with a model input or output in it."""

_PARSER_TOO_DEEP: Final = "recursion limit exceeded"
_SERIALIZER_TOO_DEEP: Final = "depth exceeded"
_INFINITE: Final = b"\0\0\0\0\0\0\xf0"  # of the eight bytes of a float, those that both infinities have
_LONGEST_PLACE: Final = 100


def parse(text: bytes, *, allow_inf_nan: bool = True, max_depth: int = MAX_DEPTH) -> Any:
    """The value that the JSON says.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return from_json(text, allow_inf_nan=allow_inf_nan)
    except ValueError as error:
        if "surrogate" in str(error) or "end of hex escape" in str(error):
            raise ValueError(f"{error}: {HALF}") from None
        if not str(error).startswith(_PARSER_TOO_DEEP):
            raise
    return DeepReader(text.decode(), allow_inf_nan=allow_inf_nan, max_depth=max_depth).value()


def check_finite(value: Any, *, name: str) -> None:
    """Let parsed JSON pass in which no number was too large to be one.

    Raises:
        ValueError: there is one, and where.
    """
    try:
        packed = marshal.dumps(value)  # much faster than looking at each: floats are their eight bytes in it
        if b"\xf0" not in packed or _INFINITE not in packed:
            return
    except ValueError:
        pass  # it is deep
    if (place := _place_of_infinity(value, name)) is not None:
        raise ValueError(f"{place} is too large for a number (1.8e308 is the largest); send it as text")


def parse_leniently(text: bytes) -> Any:
    """The same of what Python's own parser takes: a text in UTF-16 or with a mark, and half a character, for U+FFFD.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    try:
        return parse(text)
    except ValueError:
        decoded = text.decode(json.detect_encoding(text), "surrogatepass")
        whole = without_halves(decoded).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if (mended := whole.encode()) == text:
            raise
    return parse(mended)


def write(value: Any, **options: Any) -> bytes:
    """The value as JSON, as pydantic's ``to_json`` writes it with these options.

    Raises:
        ValueError: something in it cannot become JSON, or it is nested too deeply.
    """
    try:
        return to_json(value, **options)
    except PydanticSerializationError as error:
        if not _is_for_depth(error):
            raise
    return write_deep(value, options, max_depth=MAX_DEPTH)


class AnyDepth(BaseModel):
    """A model with a field that holds a user's data: its JSON is read and written at any depth up to the limit."""

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **options: Any) -> Self:
        """As pydantic does it."""
        try:
            return super().model_validate_json(json_data, **options)
        except ValidationError as error:
            if not any(_PARSER_TOO_DEEP in each["msg"] for each in error.errors(include_input=False)):
                raise
        text = json_data.encode("utf-8", "surrogatepass") if isinstance(json_data, str) else bytes(json_data)
        try:
            content = parse(text, max_depth=IN_AN_ENVELOPE)
        except ValueError as error:
            fault: Any = {"type": "json_invalid", "loc": (), "input": text, "ctx": {"error": str(error)}}
            raise ValidationError.from_exception_data(cls.__name__, [fault], "json") from None
        return cls.model_validate(content, **options)

    def model_dump_json(self, **options: Any) -> str:
        """As pydantic does it; beyond its depth, without ``indent``."""
        try:
            return super().model_dump_json(**options)
        except PydanticSerializationError as error:
            if not _is_for_depth(error):
                raise
        options.pop("indent", None)
        infinities = {"inf_nan_mode": self.model_config.get("ser_json_inf_nan", "null")}
        return write_deep(self.model_dump(**options), infinities, max_depth=IN_AN_ENVELOPE).decode()


def _place_of_infinity(value: Any, name: str) -> str | None:
    """Where an infinite number stands, as ``items[3].score``; None when there is none."""
    waiting: list[tuple[Any, tuple[Any, ...]]] = [(value, ((), name))]
    while waiting:
        each, place = waiting.pop()
        if isinstance(each, float) and math.isinf(each):
            return _rendered(place)
        if isinstance(each, dict):
            waiting += ((inner, (place, f".{key}")) for key, inner in each.items())
        elif isinstance(each, list):
            waiting += ((inner, (place, f"[{index}]")) for index, inner in enumerate(each))
    return None


def _rendered(place: tuple[Any, ...]) -> str:
    parts: list[str] = []
    while place:
        place, part = place
        parts.append(part)
    text = "".join(reversed(parts))
    return text if len(text) <= _LONGEST_PLACE else f"{text[:_LONGEST_PLACE]}…"


def _is_for_depth(error: PydanticSerializationError) -> bool:
    return _SERIALIZER_TOO_DEEP in str(error)
