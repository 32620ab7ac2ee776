"""The bytes of an async predict result: in the bucket and in the webhook the same around the same output."""

from typing import Any

from pydantic import BaseModel

from .results import AsyncPredictResult


def result_json(result: AsyncPredictResult, output: bytes) -> bytes:
    """The result, whose own ``data`` is None, with the output in its place, which is JSON already."""
    # A quote inside of any text is escaped: this stands once, and it is the field.
    before, _, after = result.model_dump_json().encode().partition(b'"data":null')
    return b"".join((before, b'"data":', output, after))


def without_lone_surrogates(value: Any) -> Any:
    """The value with U+FFFD for half a character, which is no UTF-8 and which a text model may emit."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {without_lone_surrogates(key): without_lone_surrogates(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_lone_surrogates(each) for each in value]
    if isinstance(value, BaseModel):
        return without_lone_surrogates(value.model_dump())
    return value
