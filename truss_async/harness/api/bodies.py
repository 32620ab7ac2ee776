"""Reading what a caller sends, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from ...contract import AsyncPredictRequest
from .refusals import bad_request, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body.

    Raises:
        CallRefusedError: 413, when it is larger; the size reported is the declared one, or what had come by then.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise too_large(int(declared), limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise too_large(size, limit)
        chunks.append(chunk)
    return b"".join(chunks)


def parse_async_request(body: bytes) -> tuple[AsyncPredictRequest, bytes]:
    """The request, and its model input as JSON.

    Raises:
        CallRefusedError: 400, naming the first thing that is wrong.
    """
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"invalid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise bad_request('the body must be a JSON object, with a "model_input"')
    try:
        request = AsyncPredictRequest.model_validate(fields)
    except ValidationError as error:
        raise bad_request(_explain(error)) from None
    return request, to_json(request.model_input)


def parse(model: type[Model], body: bytes) -> Model:
    """The body as a model.

    Raises:
        CallRefusedError: 400, naming the first thing that is wrong.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise bad_request(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message
