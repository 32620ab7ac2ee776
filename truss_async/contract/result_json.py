"""The bytes of an async predict result: in the bucket and in the webhook the same around the same output."""

from typing import Any

from pydantic import BaseModel

from .deep_json import MAX_DEPTH
from .results import AsyncPredictResult


def result_json(result: AsyncPredictResult, output: bytes) -> bytes:
    """The result, whose own ``data`` is None, with the output in its place, which is JSON already."""
    # A quote inside of any text is escaped: this stands once, and it is the field.
    before, _, after = result.model_dump_json().encode().partition(b'"data":null')
    return b"".join((before, b'"data":', output, after))


def without_lone_surrogates(value: Any) -> Any:
    """The value with U+FFFD for half a character, which is no UTF-8 and which a text model may emit.

    Raises:
        ValueError: it is nested too deeply, or in itself.
    """
    whole: list[Any] = [None]
    waiting: list[tuple[Any, Any, Any, int]] = [(value, whole, 0, 0)]
    while waiting:
        each, into, key, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH:,} levels, or in itself")
        if isinstance(each, BaseModel):
            each = each.model_dump()
        if isinstance(each, dict):
            into[key] = named = {_whole_text(name): None for name in each}
            waiting += ((inner, named, _whole_text(name), depth + 1) for name, inner in each.items())
        elif isinstance(each, list | tuple):
            into[key] = items = [None] * len(each)
            waiting += ((inner, items, index, depth + 1) for index, inner in enumerate(each))
        else:
            into[key] = _whole_text(each)
    return whole[0]


def _whole_text(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value
