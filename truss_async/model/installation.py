"""Turns a model class into one whose outputs are saved."""

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any, Final, NoReturn

from ..errors import UnsupportedModelError
from .construction import is_remembering, remembering_init, saver_of, state_of
from .hooks import (
    Hook,
    added_postprocess_hook,
    is_added_hook,
    is_hook,
    postprocess_hook,
    predict_hook,
    preprocess_hook,
)
from .requests import RequestContext
from .saver import STREAM_REFUSED
from .user_methods import UserMethod, read_method

REQUEST_CONTEXT: Final = RequestContext()

_HOOKS: Final[dict[str, Callable[[UserMethod], Hook]]] = {
    "preprocess": preprocess_hook,
    "predict": predict_hook,
    "postprocess": postprocess_hook,
}


def install(model_class: Any) -> None:
    """Wrap the hooks and the constructor of the class, its own and inherited ones. Doing it twice is harmless."""
    for name in _HOOKS:
        found = inspect.getattr_static(model_class, name, None)
        if isinstance(found, FunctionType | staticmethod | classmethod) and not is_hook(found):
            setattr(model_class, name, _make_hook(name, read_method(found), owner=model_class))
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


def _make_hook(name: str, method: UserMethod, *, owner: type) -> Hook:
    if method.is_generator and name != "preprocess":
        raise UnsupportedModelError(f"{owner.__qualname__}.{name} streams its output: {STREAM_REFUSED}")
    return _HOOKS[name](method)


def _add_postprocess(model_class: Any) -> None:
    """Where the user has none; again where predict is a new one, whose output may be of another type."""
    predict = inspect.getattr_static(model_class, "predict", None)
    if predict is None or not is_hook(predict):
        return
    missing = not hasattr(model_class, "postprocess")
    outdated = "predict" in vars(model_class) and is_added_hook(getattr(model_class, "postprocess", None))
    if missing or outdated:
        returned = inspect.signature(predict).return_annotation
        model_class.postprocess = added_postprocess_hook(returned)


def _finish_construction(model: object) -> None:
    """Wrap hooks that ``__init__`` has set on the object, and let wrong settings fail the load."""
    for name in _HOOKS:
        function = vars(model).get(name)
        if callable(function) and not is_hook(function):
            hook = _make_hook(name, read_method(staticmethod(function)), owner=type(model))
            vars(model)[name] = MethodType(hook, model)
    if state_of(model).config:
        saver_of(model)
