"""What a form of a page sends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from ..errors import TrussAsyncError

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_FORM_BYTES: Final = 4_000_000
MAX_FIELDS: Final = 100


class BadFormError(TrussAsyncError):
    """What was sent is no form of these pages."""


async def read_form(request: Request) -> dict[str, str]:
    """Its fields; of several with one name the last.

    Raises:
        BadFormError: it is too large, or no form.
    """
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise BadFormError("send the form as application/x-www-form-urlencoded")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_FORM_BYTES:
            raise BadFormError(f"the form is larger than {MAX_FORM_BYTES} bytes")
    try:
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="replace")
    except ValueError as error:
        raise BadFormError(f"the form cannot be read: {error}") from None
    return dict(fields)
