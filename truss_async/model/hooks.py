"""What Truss calls in the place of a user's preprocess, predict and postprocess."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

from ..errors import OutputStoreError, TrussAsyncError
from ..printable import printable_logger
from .failures import record_failure
from .preparation import saver_of
from .requests import ServedRequest, Serving
from .responses import kind_of
from .saving_threads import in_saving_thread
from .truss_server import find_request, heed_caller, outlive_caller
from .user_methods import UserMethod, read_method

if TYPE_CHECKING:
    from starlette.requests import Request

logger = printable_logger(__name__)

Hook: TypeAlias = Callable[..., Any]
Finish: TypeAlias = Callable[[object, Any, "Request | None", ServedRequest], Any]

_OURS: Final = "_truss_async_hook"
_ADDED: Final = "added"
_WRAPPED: Final = "wrapped"


class CarriedResponse:
    """A response or a stream on its way from predict to the postprocess that we added.

    Truss refuses one from predict when there is a postprocess; one from postprocess it sends.
    """

    def __init__(self, response: Any) -> None:
        self.response = response


def is_hook(function: object) -> bool:
    """Whether this function is one of ours already."""
    return hasattr(function, _OURS)


def is_added_hook(function: object) -> bool:
    """Whether this is a postprocess that the user has not written."""
    return getattr(function, _OURS, None) == _ADDED


def preprocess_hook(method: UserMethod) -> Hook:
    """The user's preprocess, which knows its request; a request id that is unfit is refused here."""
    return _hook(method, lambda _model, output, _request, _served: output)


def predict_hook(method: UserMethod) -> Hook:
    """The user's predict, whose output outlives its caller."""
    return _hook(method, _leave_predict)


def postprocess_hook(method: UserMethod) -> Hook:
    """The user's postprocess, whose output is saved before it is answered."""
    return _hook(method, lambda model, output, _request, served: save_for(model, output, served), saves=True)


def added_postprocess_hook(return_annotation: Any, *, is_async: bool) -> Hook:
    """A postprocess for a model without one, so that saving is done outside of predict's concurrency slot.

    Truss reads the output's schema from the last hook, so it returns what predict returns, in predict's colour.
    """

    async def postprocess_async(self: object, model_output: Any) -> Any:
        return model_output

    def postprocess(self: object, model_output: Any) -> Any:
        return model_output

    method = read_method(cast("FunctionType", postprocess_async if is_async else postprocess))
    signature = method.signature.replace(return_annotation=return_annotation)
    hook = postprocess_hook(replace(method, signature=signature))
    vars(hook)[_OURS] = _ADDED
    return hook


def _hook(method: UserMethod, finish: Finish, *, saves: bool = False) -> Hook:
    """The user's method, and after it ``finish``, unless it is called by another hook, or outside of any request."""

    async def hook_async(self: object, *arguments: Any, **keywords: Any) -> Any:
        request = find_request(arguments, keywords)
        with Serving(request) as served:
            if saves:
                heed_caller(request)
            output = await recorded_async(lambda: method(self, arguments, keywords), self, served)
            if served is None:
                return output
            if saves:
                return await in_saving_thread(finish, self, output, request, served)
            return finish(self, output, request, served)

    def hook(self: object, *arguments: Any, **keywords: Any) -> Any:
        request = find_request(arguments, keywords)
        with Serving(request) as served:
            if saves:
                heed_caller(request)
            output = recorded(lambda: method(self, arguments, keywords), self, served)
            return output if served is None else finish(self, output, request, served)

    return _presented(hook_async if method.is_async else hook, method)


def recorded(work: Callable[[], Any], model: object, served: ServedRequest | None) -> Any:
    """What the user's code returns; what it raises is recorded and goes on unchanged."""
    try:
        return work()
    except Exception as error:
        record_failure(model, served, error)
        raise


async def recorded_async(
    work: Callable[[], Awaitable[Any]], model: object, served: ServedRequest | None
) -> Any:
    """The same for a coroutine."""
    try:
        return await work()
    except Exception as error:
        await in_saving_thread(record_failure, model, served, error)
        raise


def _leave_predict(model: object, output: Any, request: "Request | None", served: ServedRequest) -> Any:
    if request is None:
        return output
    if is_added_hook(getattr(model, "postprocess", None)) and kind_of(output) != "data":
        output = CarriedResponse(output)
    outlive_caller(request, note=served.note_caller)
    return output


def save_for(model: object, output: Any, served: ServedRequest) -> Any:
    if type(output) is CarriedResponse:
        output = output.response
    try:
        saver = saver_of(model)
        answer = saver.save(served.request_id, output, is_binary=served.is_binary)
    except Exception as error:
        told = error if isinstance(error, TrussAsyncError) else type(error).__name__
        logger.error("the output of request %s is not saved: %s", served.request_id, told)
        if not isinstance(error, OutputStoreError):
            record_failure(model, served, error)
        raise
    if served.caller_has_gone:
        place = saver.url_of(served.request_id)
        logger.info("the caller of request %s disconnected; its output is %s", served.request_id, place)
    return answer


def _presented(hook: Hook, method: UserMethod) -> Hook:
    """The hook under the user's name and docstring, with the signature that Truss shall see."""
    functools.update_wrapper(hook, cast("Hook", method.function))
    vars(hook).update({"__signature__": method.hook_signature(), _OURS: _WRAPPED})
    return hook
