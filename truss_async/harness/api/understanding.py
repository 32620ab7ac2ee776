"""From what came in to a call in hand: what it is for, and whether it may be made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...contract import limits
from .access import carries, check_authorization
from .bodies import check_size, declared_size, first_headers
from .calls import IncomingCall
from .routing import find_call

if TYPE_CHECKING:
    from starlette.requests import Request

    from .calls import ApiParts


def understand(parts: ApiParts, request: Request, request_id: str) -> IncomingCall:
    """The call, once it is known whom it is for, and that its caller may make it.

    Raises:
        CallRefusedError: it is for nothing that there is, too large, or from somebody who may not.
    """
    head = first_headers(request)
    size = declared_size(head)
    check_size(size, limit=limits.MAX_BODY_BYTES)  # the platform's edge, which knows no operation
    path = request.scope["raw_path"].decode("latin-1")
    method = request.scope["method"]
    found = find_call(method, head.get(b"host", b"").decode("latin-1"), path)
    operation = found.operation
    check_size(size, limit=operation.max_body_bytes)
    if parts.browsers is not None:
        parts.browsers.check(method, request.scope["headers"], is_own=operation.is_own)
    authorization = None if (shown := head.get(b"authorization")) is None else shown.decode("latin-1")
    # Models know this key, and are not to read webhook secrets with it.
    is_inner = not operation.is_own and carries(authorization, parts.inner_key)
    if not operation.is_open:
        if not is_inner:
            check_authorization(authorization, api_key=parts.api_key)
        parts.deployments.check(found.named.served)
    return IncomingCall(request, request_id, operation, found.named, found.values, is_inner)
