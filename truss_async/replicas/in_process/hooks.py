"""What a model has for the server to call, found as the Truss server finds it: by signatures and raw annotations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from pydantic import BaseModel
from starlette.requests import Request

ENDPOINTS: Final = ("chat_completions", "completions", "embeddings", "messages", "responses")
"""Methods that the server offers at routes of their own, without preprocess and postprocess."""


class ModelDefinitionError(TypeError):
    """The model does not have the shape that the Truss server asks for."""

    __module__ = "builtins"  # a traceback names it without one, as the server does


class Takes(Enum):
    """What a hook wants to be called with."""

    NOTHING = auto()
    INPUT = auto()
    REQUEST = auto()
    INPUT_AND_REQUEST = auto()


@dataclass(frozen=True, slots=True)
class Hook:
    """One method of the model."""

    name: str
    function: Callable[..., Any]
    takes: Takes
    is_async: bool
    is_generator: bool


@dataclass(frozen=True, slots=True)
class ModelHooks:
    """All that the server calls of one model."""

    predict: Hook
    preprocess: Hook | None = None
    postprocess: Hook | None = None
    setup_environment: Hook | None = None
    endpoints: Mapping[str, Hook] = field(default_factory=dict)
    input_type: type[BaseModel] | None = None

    @property
    def ignores_input(self) -> bool:
        """Whether the body need not be JSON, since nobody but the model reads it."""
        first = self.preprocess or self.predict
        return self.predict.takes is Takes.REQUEST and first.takes is Takes.REQUEST


def is_model(candidate: object) -> bool:
    """Whether it is an object with hooks, and not just something to call; a mock claims to have every attribute."""
    return hasattr(type(candidate), "predict") or "predict" in getattr(candidate, "__dict__", ())


def hooks_of_model(model: object) -> ModelHooks:
    """The hooks of a model.

    Raises:
        ModelDefinitionError: the Truss server would not load it.
    """
    preprocess, predict, postprocess = (
        _method(model, name) for name in ("preprocess", "predict", "postprocess")
    )
    if predict is None and hasattr(model, "websocket"):
        raise ModelDefinitionError(
            "a model with a websocket is served by the Truss server only: give its truss_dir"
        )
    if predict is None:
        raise ModelDefinitionError("Truss model must have a `predict` or `websocket` method.")
    if hasattr(model, "websocket"):
        raise ModelDefinitionError(
            "Truss model cannot have both `websocket` and any of `predict`, `preprocess`, or `postprocess methods."
        )
    if preprocess and predict.takes is Takes.REQUEST:
        raise ModelDefinitionError(
            "When using `preprocess`, the predict method cannot only have the request argument "
            "(because the result of `preprocess` would be  discarded)."
        )
    if postprocess and postprocess.takes is Takes.REQUEST:
        raise ModelDefinitionError(
            "The `postprocess` method cannot only have the request argument "
            "(because the result of `predict` would be discarded)."
        )
    endpoints = {name: hook for name in ENDPOINTS if (hook := _method(model, name))}
    return ModelHooks(
        predict,
        preprocess,
        postprocess,
        _method(model, "setup_environment"),
        endpoints,
        _input_type(preprocess or predict),
    )


def hooks_of_callable(model: Callable[..., Any]) -> ModelHooks:
    """A callable stands for a model's predict; it may have more parameters, if it can be called with an input alone.

    Raises:
        ModelDefinitionError: it cannot.
    """
    # Of an object that can be called, it is the method behind it that is a coroutine function, or is not.
    has_code = inspect.isroutine(model) or isinstance(model, functools.partial)
    function = model if has_code else type(model).__call__
    is_async = _is_async(model) or _is_async(function)
    hook = Hook("predict", model, _takes_of_callable(model), is_async, _is_generator(function))
    return ModelHooks(hook, input_type=_input_type(hook))


def _method(model: object, name: str) -> Hook | None:
    return _hook(name, getattr(model, name)) if hasattr(model, name) else None


def _hook(name: str, function: Callable[..., Any]) -> Hook:
    takes = _takes(name, inspect.signature(function))
    return Hook(name, function, takes, inspect.iscoroutinefunction(function), _is_generator(function))


def _takes_of_callable(model: Callable[..., Any]) -> Takes:
    signature = _signature(model)
    if signature is None:
        return Takes.INPUT
    try:
        return _takes("predict", signature)
    except ModelDefinitionError:
        try:
            signature.bind(None)
        except TypeError:
            pass
        else:
            return Takes.INPUT
        raise


def _takes(name: str, signature: inspect.Signature) -> Takes:
    annotations = [parameter.annotation for parameter in signature.parameters.values()]
    if not annotations:
        return Takes.NOTHING
    if len(annotations) == 1:
        return Takes.REQUEST if _is_a(Request, annotations[0]) else Takes.INPUT
    if len(annotations) > 2:
        raise ModelDefinitionError(f"`{name}` method cannot have more than two arguments. Got: {signature}")
    if _is_a(Request, annotations[0]):
        raise ModelDefinitionError(
            f"`{name}` method with two arguments is not allowed to have request as first argument, "
            f"request must be second. Got: {signature}"
        )
    if not _is_a(Request, annotations[1]):
        raise ModelDefinitionError(
            f"`{name}` method with two arguments must have request as second argument (type annotated). "
            f"Got: {signature} "
        )
    return Takes.INPUT_AND_REQUEST


def _input_type(first: Hook) -> type[BaseModel] | None:
    signature = _signature(first.function)
    annotations = [] if signature is None else [each.annotation for each in signature.parameters.values()]
    return annotations[0] if annotations and _is_a(BaseModel, annotations[0]) else None


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """None for what does not tell: code in C, and an AsyncMock on Python 3.10."""
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _is_async(function: Callable[..., Any]) -> bool:
    # An AsyncMock only has the flag, which inspect overlooks on Python 3.10.
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return inspect.iscoroutinefunction(function) or bool(flags & inspect.CO_COROUTINE)


def _is_a(base: type, annotation: Any) -> bool:
    try:
        return issubclass(annotation, base)
    except TypeError:  # it is no class; dict[str, Any], say, claims on Python 3.10 to be one
        return False
