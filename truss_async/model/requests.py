"""The request that a hook works for: its id, wherever Truss has put it, and whether its caller is still there."""

import functools
import logging
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..contract import headers
from ..errors import UnsafeObjectKeyError
from ..stores import check_request_id

if TYPE_CHECKING:
    from starlette.requests import Request

logger = logging.getLogger(__name__)

_SCOPE_KEY: Final = "truss_async.served_request"


@dataclass
class ServedRequest:
    """One request to the model server, shared by the hooks that Truss calls for it."""

    request_id: str
    is_binary: bool = False  # the caller is answered in msgpack, not in JSON
    caller_has_gone: bool = False


_serving: ContextVar[ServedRequest | None] = ContextVar("truss_async_served_request", default=None)


@functools.cache
def request_class() -> "type[Request] | None":
    """starlette's Request; None where starlette is not installed, which is never inside the Truss server."""
    try:
        from starlette.requests import Request
    except ImportError:
        return None
    return Request


def find_request(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> "Request | None":
    """The request among the arguments of a hook, if Truss or the user's code handed one on."""
    request_type = request_class()
    if request_type is not None:
        for value in (*arguments, *keywords.values()):
            if isinstance(value, request_type):
                return value
    return None


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


def outlive_caller(request: "Request", served: ServedRequest) -> None:
    """Let Truss go on to postprocess although the caller has given up.

    Truss awaits ``request.is_disconnected()`` between predict and postprocess, and skips the latter (and with it what
    saves the output) when the caller has gone. It is told that nobody has, until ``heed_caller``. Checking here
    instead would leave a gap between our check and Truss's, and a timer that closes the gap could fire while a busy
    event loop is merely late.
    """

    async def is_disconnected() -> bool:
        served.caller_has_gone = await type(request).is_disconnected(request)
        return False

    vars(request)["is_disconnected"] = is_disconnected


def heed_caller(request: "Request | None") -> None:
    """Let the request tell the truth about its caller again."""
    if request is not None:
        vars(request).pop("is_disconnected", None)


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
    return served.request_id if served else _truss_request_id()


def _truss_request_id() -> str | None:
    """What the Truss server keeps for its log records, since 0.15.2; the module has had two names. Or what chains keep."""
    chains = sys.modules.get("truss_chains.remote_chainlet.utils")
    if chains is not None and (request_id := chains.get_request_id()):
        return str(request_id)
    for name in ("_truss_shared.log_config", "shared.log_config"):
        variable = getattr(sys.modules.get(name), "request_id_context", None)
        if isinstance(variable, ContextVar) and (request_id := variable.get()):
            return str(request_id)
    return None


def _served_request(request: "Request | None") -> ServedRequest | None:
    if request is None:
        request_id = _truss_request_id()
        return ServedRequest(check_request_id(request_id)) if request_id else None
    known = request.scope.get(_SCOPE_KEY)
    if isinstance(known, ServedRequest):
        return known
    served = ServedRequest(_checked_id(request), is_binary=_is_binary(request))
    request.scope[_SCOPE_KEY] = served
    return served


def _checked_id(request: "Request | None") -> str:
    given = None if request is None else request.headers.get(headers.REQUEST_ID)
    request_id = given or _truss_request_id()
    if request_id is None:
        request_id = uuid.uuid4().hex
        logger.warning("a request came without %s; its output is saved as %s", headers.REQUEST_ID, request_id)
    try:
        return check_request_id(request_id)
    except UnsafeObjectKeyError as error:
        logger.error("a request is refused: %s", error)
        _refuse(error)
        raise


def _is_binary(request: "Request") -> bool:
    """As the Truss server tells it."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() == "application/octet-stream"


def _refuse(error: UnsafeObjectKeyError) -> None:
    """Inside the server, answer 422, which the platform takes for invalid input and does not retry."""
    try:
        from fastapi import HTTPException
    except ImportError:
        return
    raise HTTPException(status_code=422, detail=str(error)) from error
