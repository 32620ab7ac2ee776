"""The style and the scripts of the pages: compressed once, and kept by browsers as long as they are the same."""

from __future__ import annotations

import gzip
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

FOLDER: Final = Path(__file__).parent / "static"
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOREVER: Final = "public, max-age=31536000, immutable"


class StaticFile(NamedTuple):
    """A file as it is sent; ``digest`` stands in its URL, so that a new version has another."""

    body: bytes
    packed: bytes
    media_type: str
    digest: str


@lru_cache(maxsize=64)
def static_file(name: str) -> StaticFile | None:
    """One of the files by its name; None: there is no such."""
    path = next((each for each in FOLDER.iterdir() if each.name == name and each.suffix in _TYPES), None)
    if path is None:
        return None
    body = path.read_bytes()
    return StaticFile(
        body, gzip.compress(body, 9, mtime=0), _TYPES[path.suffix], sha256(body).hexdigest()[:16]
    )


def static_url(name: str) -> str:
    """Where it is found.

    Raises:
        FileNotFoundError: there is no such file.
    """
    found = static_file(name)
    if found is None:
        raise FileNotFoundError(name)
    return f"/_harness/page/static/{name}?v={found.digest}"


def routes() -> list[Route]:
    """All of them; they say nothing of the harness, so anybody may have them."""

    async def static(request: Request) -> Response:
        found = static_file(request.path_params["name"])
        if found is None:
            return PlainTextResponse("there is no such file", status_code=404)
        headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
        if "gzip" in request.headers.get("accept-encoding", ""):
            headers["Content-Encoding"] = "gzip"
            return Response(found.packed, media_type=found.media_type, headers=headers)
        return Response(found.body, media_type=found.media_type, headers=headers)

    return [Route("/_harness/page/static/{name}", static, methods=["GET"])]
