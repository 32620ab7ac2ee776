"""Calls of the harness's own API from inside its process: all that a caller meets, without a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from ...contract.json_text import write
from ...errors import ApiError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message

ANY_KEY = "inside"


async def call_api(
    api: ASGIApp, method: str, path: str, body: Any = None, *, api_key: str | None, query: str = ""
) -> Any:
    """What the API answers: JSON parsed, all else as text.

    Raises:
        ApiError: it refuses.
    """
    sent = b"" if body is None else write(body)
    status, answer, is_json = 0, b"", False

    async def receive() -> Message:
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, answer, is_json
        if message["type"] == "http.response.start":
            status = message["status"]
            is_json = (b"content-type", b"application/json") in message["headers"]
        else:
            answer += message.get("body", b"")

    headers = {
        "host": "localhost",
        "authorization": f"Api-Key {api_key or ANY_KEY}",
        "content-type": "application/json",
        "content-length": str(len(sent)),
    }
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    await api(scope, receive, send)
    told: Any = from_json(answer) if is_json and answer else answer.decode() or None
    if status >= 400:
        raise ApiError(str(told["error"]), status_code=status)
    return told
