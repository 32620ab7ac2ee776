"""The HTTP API: one ASGI application for every host and path of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import Response

from ...contract import limits
from ...contract.headers import REQUEST_ID
from ...errors import HarnessError
from .access import check_authorization
from .bodies import check_declared_size
from .calls import IncomingCall
from .refusals import ApiErrorCode, CallRefusedError
from .routing import find_call

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from .calls import Answer, ApiParts, Operation

_REQUEST_ID = REQUEST_ID.lower().encode()
_FAILURE = CallRefusedError(
    500, ApiErrorCode.INTERNAL_BASETEN_ERROR, "the harness itself failed; its log says why"
)


class Api:
    """Understands, authorizes and answers each call; every answer carries a request id of its own."""

    def __init__(self, parts: ApiParts) -> None:
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the harness serves HTTP only, not {scope['type']}")
        request_id = uuid4().hex
        call: IncomingCall | None = None
        try:
            operation, call = self._understood(Request(scope, receive), request_id)
            response = _response(operation, await operation.handler(self._parts, call))
        except CallRefusedError as refusal:
            response = refusal.response()
        except HarnessError as error:  # the queue's disk is full, or the harness is stopping
            response = CallRefusedError(503, ApiErrorCode.INTERNAL_BASETEN_ERROR, str(error)).response()
        except Exception:
            await _named(_FAILURE.response(), request_id)(scope, receive, send)
            raise
        answer: ASGIApp = _named(response, request_id)
        if call is not None and call.measured is not None:
            answer = call.measured(answer)
        await answer(scope, receive, send)

    def _understood(self, request: Request, request_id: str) -> tuple[Operation, IncomingCall]:
        check_declared_size(request, limit=limits.MAX_BODY_BYTES)
        path = request.scope["raw_path"].decode("latin-1")
        found = find_call(request.method, request.headers.get("host", ""), path)
        if not found.operation.is_open:
            check_authorization(request.headers.get("authorization"), api_key=self._parts.api_key)
            self._parts.deployments.check(found.named.served)
        return found.operation, IncomingCall(request, request_id, found.named, found.values)


def _response(operation: Operation, answer: Answer) -> Response:
    if isinstance(answer, Response):
        return answer
    if answer is None:
        return Response(status_code=operation.status)
    content = answer.model_dump_json(exclude_none=operation.is_sparse)
    return Response(content, status_code=operation.status, media_type="application/json")


def _named(response: Response, request_id: str) -> Response:
    """The response, with the id of the request that every answer carries."""
    response.raw_headers.append((_REQUEST_ID, request_id.encode()))
    return response
