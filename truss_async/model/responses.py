"""Outputs that are no data: ready-made responses, and streams."""

import functools
import inspect
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.responses import Response

FIRST_ERROR_STATUS: Final = 300  # from here on, the Truss server marks a model's response as an error
STREAM_REFUSED: Final = (
    "a stream cannot be saved: return the whole output (an async request could not stream it either), "
    'or set streaming to "pass", which serves the stream and saves nothing of it'
)


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
