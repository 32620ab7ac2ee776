"""The request that a hook works for, and its id, wherever Truss has put it."""

import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Final

from ..contract import headers
from ..errors import UnsafeObjectKeyError
from ..printable import printable_logger
from ..stores import check_request_id
from .truss_server import is_binary, refuse_input, request_id_of

if TYPE_CHECKING:
    from starlette.requests import Request

logger = printable_logger(__name__)

_SCOPE_KEY: Final = "truss_async.served_request"


class ServedRequest:
    """One request to the model server, shared by the hooks that Truss calls for it."""

    def __init__(self, request_id: str, *, is_binary: bool = False) -> None:
        self.request_id = request_id
        self.is_binary = is_binary  # the caller is answered in msgpack, not in JSON
        self.caller_has_gone = False

    def note_caller(self, has_gone: bool) -> None:
        self.caller_has_gone = has_gone


_serving: ContextVar[ServedRequest | None] = ContextVar("truss_async_served_request", default=None)


class Serving:
    """Work for a request; None is given to a hook that another hook calls, and outside of any request.

    A request id that cannot become an object key is refused here, before the model computes anything.
    """

    def __init__(self, request: "Request | None", *, is_remote: bool = False) -> None:
        self._request = request
        self._is_remote = is_remote  # there is a request, although nobody hands it on
        self._token: Token[ServedRequest | None] | None = None

    def __enter__(self) -> ServedRequest | None:
        if _serving.get() is not None:
            return None
        served = ServedRequest(_checked_id(None)) if self._is_remote else _served_request(self._request)
        self._token = _serving.set(served)
        return served

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            _serving.reset(self._token)


class RequestContext(Mapping[str, str]):
    """``self.context`` of a model: ``{"request_id": …}`` while a request is served, else empty."""

    def __getitem__(self, key: str) -> str:
        if key == "request_id" and (request_id := _current_request_id()):
            return request_id
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter(("request_id",) if _current_request_id() else ())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return f"RequestContext({dict(self)})"


def _current_request_id() -> str | None:
    served = _serving.get()
    return served.request_id if served else request_id_of(None)


def _served_request(request: "Request | None") -> ServedRequest | None:
    if request is None:
        request_id = request_id_of(None)
        return ServedRequest(check_request_id(request_id)) if request_id else None
    known = request.scope.get(_SCOPE_KEY)
    if isinstance(known, ServedRequest):
        return known
    served = ServedRequest(_checked_id(request), is_binary=is_binary(request))
    request.scope[_SCOPE_KEY] = served
    return served


def _checked_id(request: "Request | None") -> str:
    request_id = request_id_of(request)
    if request_id is None:
        request_id = uuid.uuid4().hex
        logger.warning("a request has no %s; its output is saved as %s", headers.REQUEST_ID, request_id)
    try:
        return check_request_id(request_id)
    except UnsafeObjectKeyError as error:
        logger.error("a request is refused: %s", error)
        refuse_input(error)
