"""Outputs that are no data: ready-made responses, and streams."""

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json

from .artifacts import FilePart

if TYPE_CHECKING:
    from starlette.responses import Response

FIRST_ERROR_STATUS: Final = 300  # from here on, the Truss server marks a model's response as an error


@functools.cache
def _response_class() -> "type[Response] | None":
    try:
        from starlette.responses import Response
    except ImportError:
        return None
    return Response


def is_response(output: object) -> bool:
    """Whether the model answers with a response of its own making."""
    response_type = _response_class()
    return response_type is not None and isinstance(output, response_type)


def is_stream(output: object) -> bool:
    """Whether the output comes bit by bit, so that there is no moment at which it could be saved."""
    if inspect.isgenerator(output) or inspect.isasyncgen(output):
        return True
    return is_response(output) and hasattr(output, "body_iterator")


def response_content(response: Any) -> Any:
    """What a response says, as an output: parsed JSON, text, or a file."""
    content_type = response.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    path = getattr(response, "path", None)
    if path is not None:  # a FileResponse, whose body is read only while it is sent
        return FilePart(Path(path), media_type, Path(path).name)
    body = bytes(response.body)
    if not body:
        return None
    try:
        if media_type == "application/json" or media_type.endswith("+json"):
            return from_json(body)
        if media_type.startswith("text/"):
            return body.decode(response.charset)
    except ValueError:
        pass  # it is not what it says it is: keep its bytes
    return FilePart(body, media_type or "application/octet-stream")
