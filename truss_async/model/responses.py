"""What kind of thing a model has returned, and what a ready-made response says."""

import sys
from pathlib import Path
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Final, Literal, TypeAlias

from ..contract.json_text import parse_leniently
from .truss_server import FIRST_ERROR_STATUS

STREAM_REFUSED: Final = (
    "a stream cannot be saved: return the whole output (async requests do not stream either), "
    'or set streaming to "pass", which serves the stream without saving it'
)


Kind: TypeAlias = Literal["data", "response", "error", "stream"]
"""A response is of the model's own making; such a one that reports an error is no output; a stream comes bit by bit, so
that there is no moment at which it could be saved."""


def kind_of(output: Any) -> Kind:
    """What the model has returned."""
    kind = type(output)  # not what it says it is: that may raise
    if issubclass(kind, GeneratorType | AsyncGeneratorType):
        return "stream"
    responses = sys.modules.get("starlette.responses")  # whoever made one has imported it
    if responses is None or not issubclass(kind, responses.Response):
        return "data"
    if hasattr(output, "body_iterator"):
        return "stream"
    return "error" if output.status_code >= FIRST_ERROR_STATUS else "response"


def response_content(response: Any) -> Any:
    """What a response says, as an output: parsed JSON, text, or a file."""
    from ..contract.content_types import UNKNOWN
    from .file_parts import FilePart  # when the first response is saved: a cold start counts

    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    path = getattr(response, "path", None)
    if path is not None:  # a FileResponse, whose body is read only while it is sent
        return FilePart(Path(path), media_type, Path(path).name)
    body = bytes(response.body)
    if not body:
        return None
    try:
        if media_type == "application/json" or media_type.endswith("+json"):
            return parse_leniently(body)
        if media_type.startswith("text/"):
            return body.decode(response.charset)
    except ValueError:
        pass  # it is not what it says it is: keep its bytes
    return FilePart(body, media_type or UNKNOWN)
