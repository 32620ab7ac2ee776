"""Model inputs and outputs as bytes, read and written as the Truss server does."""

from __future__ import annotations

import functools
import importlib.util
import json
import runpy
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from ...errors import MissingExtraError
from .answers import InputParsingError, WholeAnswer, json_answer

if TYPE_CHECKING:
    from .exchange import Exchange


def parse_input(exchange: Exchange, input_type: type[BaseModel] | None) -> Any:
    """The model input.

    Raises:
        InputParsingError: it is no JSON, or not of the type that the model's first hook is annotated with.
    """
    if exchange.is_binary:
        return _validated(_unpacked(exchange.body), input_type)
    try:
        parsed = json.loads(exchange.body)
    except json.JSONDecodeError as error:
        if input_type is None:
            raise InputParsingError(f"Invalid JSON payload: {error}") from error
        raise InputParsingError(_described(_as_validation_error(error, input_type))) from error
    return _validated(parsed, input_type)


def output_answer(output: Any, *, is_binary: bool) -> WholeAnswer:
    """The answer that carries an output; raises whatever stands in the way of writing it down."""
    if is_binary:
        return _binary_answer(output)
    if isinstance(output, BaseModel):
        return json_answer(output.model_dump_json(by_alias=False).encode())
    return json_answer(_ENCODER.encode(output).encode())


class _NumpyEncoder(json.JSONEncoder):
    def default(self, value: Any) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            if isinstance(value, numpy.integer):
                return int(value)
            if isinstance(value, numpy.floating):
                return float(value)
            if isinstance(value, numpy.ndarray):
                return value.tolist()
        return super().default(value)


_ENCODER = _NumpyEncoder()


def _binary_answer(output: Any) -> WholeAnswer:
    if isinstance(output, BaseModel):
        output = output.model_dump(mode="python")
    if not isinstance(output, bytes):
        output = _serialization().truss_msgpack_serialize(output)
    size = str(len(output)).encode()
    return WholeAnswer(
        200, ((b"content-length", size), (b"content-type", b"application/octet-stream")), output
    )


def _unpacked(body: bytes) -> Any:
    try:
        return _serialization().truss_msgpack_deserialize(body)
    except ValueError as error:
        raise InputParsingError(str(error)) from error


@functools.cache
def _serialization() -> Any:
    """The server's own module for MessagePack, without the rest of truss, which takes seconds to import."""
    truss = importlib.util.find_spec("truss")
    if truss is None or truss.origin is None:
        raise MissingExtraError("truss", extra="harness", purpose="MessagePack")
    file = Path(truss.origin).parent / "templates" / "shared" / "serialization.py"
    return SimpleNamespace(**runpy.run_path(str(file)))


def _validated(value: Any, input_type: type[BaseModel] | None) -> Any:
    if input_type is None:
        return value
    try:
        return input_type.model_validate(value)
    except ValidationError as error:
        raise InputParsingError(_described(error)) from error


def _as_validation_error(error: ValueError, input_type: type[BaseModel]) -> ValidationError:
    """As pydantic's parse_raw tells it, which the server uses."""
    return ValidationError.from_exception_data(
        input_type.__name__,
        [
            {
                "type": PydanticCustomError("value_error.jsondecode", "{reason}", {"reason": str(error)}),
                "loc": ("__root__",),
                "input": None,
            }
        ],
    )


def _described(error: ValidationError) -> str:
    title = "Input Parsing Error:" if error.error_count() == 1 else "Input Parsing Errors:"
    lines = [
        textwrap.indent(f"`{_dotted(each['loc'])}`: {each['msg']}.", "  ")
        for each in error.errors(include_url=False, include_input=False)
    ]
    return "\n".join([title, *lines])


def _dotted(location: tuple[int | str, ...]) -> str:
    """``items[1].value``"""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return path if isinstance(next(iter(location), 0), int) else path.removeprefix(".")
