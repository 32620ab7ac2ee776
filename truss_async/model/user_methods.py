"""What a user's predict, preprocess or postprocess takes and returns, and how Truss is told so."""

import inspect
from dataclasses import dataclass
from inspect import Parameter, Signature
from types import FunctionType, SimpleNamespace
from typing import Any, TypeAlias, get_origin, get_type_hints

from .truss_server import request_class

UserFunction: TypeAlias = "FunctionType | staticmethod[..., Any] | classmethod[Any, ..., Any]"


@dataclass(frozen=True)
class UserMethod:
    """A hook as the user wrote it; ``signature`` is without ``self``, its annotations are real types."""

    function: UserFunction
    signature: Signature
    is_async: bool
    is_generator: bool
    takes_input: bool
    takes_request: bool

    def __call__(self, model: object, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
        """Call it, with no more than it takes of the two arguments that Truss hands to every hook."""
        method = self.function.__get__(model, type(model))
        if not self.takes_request and (request_type := request_class()) is not None:
            inputs = tuple(each for each in arguments if not isinstance(each, request_type))
            keywords = {key: each for key, each in keywords.items() if not isinstance(each, request_type)}
            if not self.takes_input and len(inputs) < len(arguments):
                inputs = ()
            arguments = inputs
        return method(*arguments, **keywords)

    def hook_signature(self) -> Signature:
        """What Truss shall see: the input as the user annotated it, and always the request.

        A method that takes the request alone keeps its shape: Truss then leaves the body unread. One whose shape Truss
        will not accept keeps it too, for Truss's own message is the best.
        """
        model = Parameter("self", Parameter.POSITIONAL_OR_KEYWORD)
        request_type = request_class()
        own = list(self.signature.parameters.values())
        if request_type is None or self.takes_request:
            return self.signature.replace(parameters=[model, *own])
        taken = own[0] if own else Parameter("model_input", Parameter.POSITIONAL_OR_KEYWORD)
        request_name = "request" if taken.name != "request" else "request_"
        return self.signature.replace(
            parameters=[
                model,
                Parameter(taken.name, Parameter.POSITIONAL_OR_KEYWORD, annotation=taken.annotation),
                Parameter(request_name, Parameter.POSITIONAL_OR_KEYWORD, annotation=request_type),
            ]
        )


def read_method(function: UserFunction) -> UserMethod:
    """Look at a method the way Truss does, but see through annotations that are text."""
    plain = function.__func__ if isinstance(function, staticmethod | classmethod) else function
    signature = _resolved_signature(plain)
    parameters = list(signature.parameters.values())
    if not isinstance(function, staticmethod):
        parameters = parameters[1:]
    requests = [_is_request(each.annotation) for each in parameters]
    return UserMethod(
        function=function,
        signature=signature.replace(parameters=parameters),
        is_async=inspect.iscoroutinefunction(plain),
        is_generator=inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain),
        takes_input=requests not in ([], [True]),
        takes_request=requests not in ([], [False]),
    )


def _resolved_signature(function: Any) -> Signature:
    signature = inspect.signature(function)
    names = getattr(inspect.unwrap(function), "__globals__", {})
    return signature.replace(
        parameters=[
            each.replace(annotation=_resolved(each.annotation, names))
            for each in signature.parameters.values()
        ],
        return_annotation=_resolved(signature.return_annotation, names),
    )


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    """The type that a text annotation means; the text itself where it means nothing at run time."""
    if not isinstance(annotation, str):
        return annotation
    one = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(one, globalns=names, include_extras=True)["it"]
    except (NameError, AttributeError, SyntaxError, TypeError):
        # Imported for type checkers only. The one type that Truss must see is recognised by its name.
        if annotation.rpartition(".")[2] == "Request" and (request_type := request_class()) is not None:
            return request_type
        return annotation


def _is_request(annotation: Any) -> bool:
    request_type = request_class()
    if request_type is None or not isinstance(annotation, type) or get_origin(annotation) is not None:
        return False  # Python 3.10 takes dict[str, int] for a type
    return issubclass(annotation, request_type)
