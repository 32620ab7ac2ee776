"""What is known of the host: the Truss server's modules, its requests, what it does between the hooks, and its end."""

import asyncio
import atexit
import contextlib
import functools
import inspect
import signal
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..contract import headers
from ..contract.truss_server import LOG_MODULES, REQUEST_ID_VARIABLE

if TYPE_CHECKING:
    from starlette.requests import Request

FIRST_ERROR_STATUS: Final = 300  # from here on, a model's response is marked as an error
_BINARY: Final = "application/octet-stream"
_UNPROCESSABLE: Final = 422


def in_truss_server() -> bool:
    """Whether a server has made the model, and not a test of its author's."""
    return "model_wrapper" in sys.modules


@functools.cache
def request_class() -> "type[Request] | None":
    """starlette's Request; None where starlette is not installed, which is never inside the server."""
    try:
        from starlette.requests import Request
    except ImportError:
        return None
    return Request


def find_request(arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> "Request | None":
    """The request among the arguments of a hook, if the server or the user's code handed one on."""
    request_type = request_class()
    if request_type is not None:
        for value in (*arguments, *keywords.values()):
            if isinstance(value, request_type):
                return value
    return None


def request_id_of(request: "Request | None") -> str | None:
    """The id in the request's header; else what is kept for log records, by chains, or by the server since 0.15.2."""
    if request is not None and (request_id := request.headers.get(headers.REQUEST_ID)):
        return request_id
    chains = sys.modules.get("truss_chains.remote_chainlet.utils")
    if chains is not None and (request_id := chains.get_request_id()):
        return str(request_id)
    for name in LOG_MODULES:
        variable = getattr(sys.modules.get(name), REQUEST_ID_VARIABLE, None)
        if isinstance(variable, ContextVar) and (request_id := variable.get()):
            return str(request_id)
    return None


def is_binary(request: "Request") -> bool:
    """Whether the caller is answered in msgpack, not in JSON."""
    media_type = request.headers.get("content-type", "").partition(";")[0]
    return media_type.strip().lower() == _BINARY


def refuse_input(error: Exception) -> NoReturn:
    """Inside the server, answer 422, which the platform takes for invalid input and does not retry."""
    try:
        from fastapi import HTTPException
    except ImportError:
        raise error from None
    raise HTTPException(status_code=_UNPROCESSABLE, detail=str(error)) from error


def http_answer(error: Exception) -> tuple[int, Any] | None:
    """Status and detail of an HTTPException; None for any other error."""
    exceptions = sys.modules.get("starlette.exceptions")  # whoever raised one has imported it
    if exceptions is None or not isinstance(error, exceptions.HTTPException):
        return None
    return error.status_code, error.detail


def is_chain_context(argument: object) -> bool:
    """Whether it is the context that a chainlet is constructed with."""
    types = sys.modules.get("truss_chains.public_types")
    context_type = getattr(types, "DeploymentContext", None)
    return context_type is not None and isinstance(argument, context_type)


def outlive_caller(request: "Request", *, note: Callable[[bool], None]) -> None:
    """Let the server go on to postprocess although the caller has given up; ``note`` is told whether it has.

    The server awaits ``request.is_disconnected()`` between predict and postprocess, and skips the latter (and with it
    what saves the output) when the caller has gone. It is told that nobody has, until ``heed_caller``. Checking here
    instead would leave a gap between our check and the server's, and a timer that closes the gap could fire while a
    busy event loop is merely late.
    """

    async def is_disconnected() -> bool:
        note(await type(request).is_disconnected(request))
        return False

    vars(request)["is_disconnected"] = is_disconnected


def heed_caller(request: "Request | None") -> None:
    """Let the request tell the truth about its caller again."""
    if request is not None:
        vars(request).pop("is_disconnected", None)


def before_the_end(act: Callable[[], None]) -> None:
    """Call it once when the process ends, or once the server has answered its last request; the last one given first.

    uvicorn, which Truss runs on, drains after SIGTERM and then lets the signal end the process: no atexit function is
    called. So it is asked to do this as the last part of its own shutdown.
    """
    atexit.unregister(act)
    atexit.register(act)
    server: Any = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    shutdown = getattr(server, "shutdown", None)
    if not inspect.iscoroutinefunction(shutdown):
        return
    acts: list[Callable[[], None]] | None = getattr(shutdown, "_truss_async_acts", None)
    if acts is None:
        acts = []
        server.shutdown = _with_acts(shutdown, acts)
    if act not in acts:
        acts.append(act)


def _with_acts(shutdown: Callable[..., Any], acts: list[Callable[[], None]]) -> Callable[..., Any]:
    @functools.wraps(shutdown)
    async def shutdown_and_act(*arguments: Any, **keywords: Any) -> Any:
        try:
            return await shutdown(*arguments, **keywords)
        finally:
            await asyncio.to_thread(_do_all, acts)

    vars(shutdown_and_act)["_truss_async_acts"] = acts
    return shutdown_and_act


def _do_all(acts: list[Callable[[], None]]) -> None:
    with contextlib.ExitStack() as stack:  # whatever one of them raises, the others are done
        for act in acts:
            stack.callback(act)
