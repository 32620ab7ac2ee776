"""The async predict result with any output in it, as JSON."""

from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from ..contract import AsyncPredictResult
from ..errors import OutputError


def result_json(result: AsyncPredictResult, output: Any) -> bytes:
    """The result with the output as its data, as JSON that any parser reads: NaN and infinities are null."""
    shell = _plain_to_json({**vars(result), "data": None})
    # A quote inside of any text is escaped: this stands once, and it is the field.
    return shell.replace(b'"data":null', b'"data":' + output_json(output), 1)


def output_json(output: Any) -> bytes:
    """The output alone, as JSON of the same kind: the one that the Truss server would send, wherever that is valid."""
    try:
        return _model_to_json(output) if isinstance(output, BaseModel) else _plain_to_json(output)
    except PydanticSerializationError as error:
        try:
            return _plain_to_json(_without_surrogates(output))
        except PydanticSerializationError:
            raise OutputError(f"the output cannot become JSON: {error}") from error


def plain_json(value: Any) -> Any:
    """The value as it will be once it has been JSON."""
    return from_json(_plain_to_json(value))


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
    return _plain_to_json(from_json(body)) if b"NaN" in body or b"Infinity" in body else body


def _plain_to_json(value: Any) -> bytes:
    return to_json(value, by_alias=False, inf_nan_mode="null", fallback=_encode_numbers)


def _without_surrogates(value: Any) -> Any:
    """Half a character, as a text model may emit it, is no UTF-8 and becomes U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(each) for each in value]
    if isinstance(value, BaseModel):
        return _without_surrogates(value.model_dump())
    return value
