"""What a ready-made response says, as an output."""

from pathlib import Path
from typing import Any

from pydantic_core import from_json

from .file_parts import FilePart


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
