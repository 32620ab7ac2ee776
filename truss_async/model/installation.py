"""Turns a model class into one whose outputs are saved."""

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Final, NoReturn

from ..errors import UnsupportedModelError
from ..printable import printable_logger
from .construction import is_remembering, remembering_init, settings_of, state_of
from .hooks import (
    Hook,
    added_postprocess_hook,
    is_added_hook,
    is_hook,
    postprocess_hook,
    predict_hook,
    preprocess_hook,
)
from .preparation import prepare
from .requests import RequestContext
from .responses import STREAM_REFUSED
from .user_methods import UserMethod, read_method

logger = printable_logger(__name__)

REQUEST_CONTEXT: Final = RequestContext()

_HOOKS: Final[dict[str, Callable[[UserMethod], Hook]]] = {
    "preprocess": preprocess_hook,
    "predict": predict_hook,
    "postprocess": postprocess_hook,
}


def install(model_class: Any) -> None:
    """Wrap the hooks and the constructor of the class, its own and inherited ones. Doing it twice is harmless.

    The hooks of a class that streams are left alone; its construction says whether that may be.
    """
    methods = {
        name: read_method(found)
        for name in _HOOKS
        if isinstance(found := _found(model_class, name), FunctionType | staticmethod | classmethod)
        and not is_hook(found)
    }
    if any(_streams(name, method) for name, method in methods.items()):
        _remove_postprocess(model_class)
    else:
        for name, method in methods.items():
            setattr(model_class, name, _HOOKS[name](method))
        _add_postprocess(model_class)
    init = inspect.getattr_static(model_class, "__init__")
    if not is_remembering(init):
        model_class.__init__ = remembering_init(init, when_constructed=_finish_construction)
    if not hasattr(model_class, "context"):
        model_class.context = REQUEST_CONTEXT


def install_in_subclasses(model_class: Any) -> None:
    """Do the same, on its creation, to each class that derives from this one."""
    own = vars(model_class).get("__init_subclass__")
    parent_of: Callable[[type, type], Any] = super

    def create_subclass(subclass: type, /, **keywords: Any) -> None:
        if own is not None:
            own.__get__(None, subclass)(**keywords)
        else:
            parent_of(model_class, subclass).__init_subclass__(**keywords)
        install(subclass)

    model_class.__init_subclass__ = classmethod(create_subclass)


def refuse_construction(model_class: Any, message: str) -> None:
    """Let the load of the model fail with this message.

    For what is found out while Python makes the class: up to 3.11 it would put a RuntimeError over ours.
    """

    def refuse(_model: object, *_arguments: Any, **_keywords: Any) -> NoReturn:
        raise UnsupportedModelError(message)

    model_class.__init__ = refuse


class _Absent:
    """Hides an inherited method."""

    def __get__(self, instance: object, owner: type) -> NoReturn:
        raise AttributeError


def _found(model_class: Any, name: str) -> Any:
    return inspect.getattr_static(model_class, name, None)


def _streams(name: str, method: UserMethod) -> bool:
    return method.is_generator and name != "preprocess"


def _remove_postprocess(model_class: Any) -> None:
    """The one that we added to a base class: Truss takes no postprocess for a stream."""
    if is_added_hook(_found(model_class, "postprocess")):
        model_class.postprocess = _Absent()


def _add_postprocess(model_class: Any) -> None:
    """Where the user has none; again where predict is a new one, whose output may be of another type."""
    predict = inspect.getattr_static(model_class, "predict", None)
    if predict is None or not is_hook(predict):
        return
    missing = not hasattr(model_class, "postprocess")
    outdated = "predict" in vars(model_class) and is_added_hook(getattr(model_class, "postprocess", None))
    if missing or outdated:
        returned = inspect.signature(predict).return_annotation
        model_class.postprocess = added_postprocess_hook(
            returned, is_async=inspect.iscoroutinefunction(predict)
        )


def _finish_construction(model: object) -> None:
    """Wrap hooks that ``__init__`` has set on the object, and let wrong settings fail the load."""
    for name in _HOOKS:
        function = vars(model).get(name)
        if callable(function) and not is_hook(function):
            method = read_method(staticmethod(function))
            if _streams(name, method):
                raise _stream_refused(model, name)
            vars(model)[name] = MethodType(_HOOKS[name](method), model)
    if (streaming := _streaming_hook(type(model))) is not None:
        if settings_of(model, url_needed=False).streaming == "refuse":
            raise _stream_refused(model, streaming)
        logger.warning("%s.%s streams its output, which is not saved", type(model).__qualname__, streaming)
    elif state_of(model).config:
        prepare(model)


def _streaming_hook(model_class: type) -> str | None:
    for name in ("predict", "postprocess"):
        found = _found(model_class, name)
        if isinstance(found, FunctionType | staticmethod | classmethod) and read_method(found).is_generator:
            return name
    return None


def _stream_refused(model: object, name: str) -> UnsupportedModelError:
    return UnsupportedModelError(f"{type(model).__qualname__}.{name} streams its output: {STREAM_REFUSED}")
