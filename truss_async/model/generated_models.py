"""The model that truss generates round a chainlet: it saves after predict, when the chainlet's slot is free again.

Truss's framework makes the class, so nobody derives it from ours. It is met when the server looks for its hooks, which
is before it is loaded. A server that does not look there saves all the same: in ``run_remote``, within the slot.
"""

import functools
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .hooks import Hook, save_for
from .requests import ServedRequest
from .saving_threads import in_saving_thread
from .truss_server import find_request, heed_caller, outlive_caller, request_class

if TYPE_CHECKING:
    from starlette.requests import Request

_CHAINLET: Final = "_chainlet"
_OURS: Final = "_truss_async_saves_after_predict"


class Unsaved(NamedTuple):
    """What a chainlet returned for a request, which is yet to be saved."""

    chainlet: object
    output: Any
    served: ServedRequest


class _Carried(NamedTuple):
    """The answer, on its way from predict to postprocess with what is to be saved before it leaves."""

    answer: Any
    unsaved: list[Unsaved]


_unsaved: ContextVar[list[Unsaved] | None] = ContextVar("truss_async_unsaved", default=None)


def is_saved_later(unsaved: Unsaved) -> bool:
    """Whether the model round the chainlet will save it; else whoever asks is to do so now."""
    later = _unsaved.get()
    if later is None:
        return False
    later.append(unsaved)
    return True


def save_after_predict(saves: Callable[[object], bool]) -> None:
    """Let each model that the server comes to look at, and whose chainlet ``saves``, do that after predict. Once for a server."""
    descriptor = getattr(sys.modules.get("model_wrapper"), "ModelDescriptor", None)
    from_model = getattr(descriptor, "from_model", None)
    if descriptor is None or from_model is None or hasattr(from_model, _OURS):
        return

    @functools.wraps(from_model)
    def from_prepared_model(model: Any) -> Any:
        _prepare(type(model), saves)
        return from_model(model)

    vars(from_prepared_model)[_OURS] = True
    descriptor.from_model = staticmethod(from_prepared_model)


def _prepare(model_class: Any, saves: Callable[[object], bool]) -> None:
    chainlet_class = inspect.get_annotations(model_class).get(_CHAINLET)
    predict = vars(model_class).get("predict")
    if not saves(chainlet_class) or not inspect.isfunction(predict) or hasattr(model_class, "postprocess"):
        return
    is_async = inspect.iscoroutinefunction(predict)
    model_class.predict = _carrying(predict, is_async=is_async)
    model_class.postprocess = _saving(inspect.signature(predict).return_annotation, is_async=is_async)


def _carrying(predict: Hook, *, is_async: bool) -> Hook:
    @functools.wraps(predict)
    async def predict_async(self: object, *arguments: Any, **keywords: Any) -> Any:
        with _collecting() as unsaved:
            answer = await predict(self, *arguments, **keywords)
        return _leave(answer, unsaved, find_request(arguments, keywords))

    @functools.wraps(predict)
    def predict_sync(self: object, *arguments: Any, **keywords: Any) -> Any:
        with _collecting() as unsaved:
            answer = predict(self, *arguments, **keywords)
        return _leave(answer, unsaved, find_request(arguments, keywords))

    return predict_async if is_async else predict_sync


@contextmanager
def _collecting() -> Iterator[list[Unsaved]]:
    unsaved: list[Unsaved] = []
    token = _unsaved.set(unsaved)
    try:
        yield unsaved
    finally:
        _unsaved.reset(token)


def _leave(answer: Any, unsaved: list[Unsaved], request: "Request | None") -> _Carried:
    if request is not None and unsaved:
        outlive_caller(request, note=unsaved[0].served.note_caller)
    return _Carried(answer, unsaved)


def _saving(return_annotation: Any, *, is_async: bool) -> Hook:
    """In predict's colour, and with what it returns: the server reads the output's schema from the last hook."""

    async def postprocess_async(self: object, carried: _Carried, request: "Request | None" = None) -> Any:
        heed_caller(request)
        for each in carried.unsaved:
            await in_saving_thread(save_for, *each)
        return carried.answer

    def postprocess_sync(self: object, carried: _Carried, request: "Request | None" = None) -> Any:
        heed_caller(request)
        for each in carried.unsaved:
            save_for(*each)
        return carried.answer

    postprocess = postprocess_async if is_async else postprocess_sync
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter("self", kind),
        inspect.Parameter("carried", kind),
        inspect.Parameter("request", kind, annotation=request_class()),
    ]
    vars(postprocess)["__signature__"] = inspect.Signature(parameters, return_annotation=return_annotation)
    return postprocess
