"""Options that are declared once, as a field of a settings model: help, default and variable come from there."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import reduce, wraps
from operator import or_
from types import GenericAlias, UnionType
from typing import Annotated, Any, TextIO, TypeVar, get_args, get_origin

from cyclopts import Parameter
from pydantic import AnyHttpUrl, BaseModel, BeforeValidator, ValidationError
from pydantic.fields import FieldInfo

from ..errors import SettingsError, reasons
from ..printable import escaped, print_line
from .variables import variable

Model = TypeVar("Model", bound=BaseModel)
Command = Callable[..., int | None]


def own_option(name: str, help_text: str) -> Parameter:
    """An option that is no field of a settings model, with the variable of its name."""
    return Parameter(help=help_text, env_var=variable(name))


def flag(name: str, help_text: str) -> Parameter:
    """The same for one that is given or not."""
    return Parameter.combine(own_option(name, help_text), Parameter(negative="", show_default=False))


def option(model: type[BaseModel], field: str) -> Parameter:
    """The option for one field."""
    return own_option(field, model.model_fields[field].description or "")


AsJson = Annotated[
    bool, Parameter(name="--json", help="Print JSON, for scripts.", negative="", show_default=False)
]
RequestId = Annotated[
    str,
    Parameter(
        name="REQUEST_ID", help="Request id that `submit` printed, or at least its first six characters."
    ),
]


def print_json(text: str, *, file: TextIO | None = None) -> None:
    """Print JSON as it is; on a terminal, with escapes for what could play tricks there."""
    file = file or sys.stdout
    print_line(escaped(text) if file.isatty() else text, file=file)


def split_at_commas(_type: Any, value: str, *, delimiter: str | None = None) -> list[str]:
    """How a variable holds a list: parts between commas, blank ones left out."""
    return [part.strip() for part in value.split(delimiter or ",") if part.strip()]


WEBHOOK_SECRET = Parameter(
    name="--webhook-secret",
    negative="",
    show_default=False,
    env_var=("TRUSS_ASYNC_WEBHOOK_SECRETS", "TRUSS_ASYNC_WEBHOOK_SECRET"),
    env_var_split=split_at_commas,
)
"""``--webhook-secret``, given once for each secret; in the environment, separated by commas."""


def takes_fields_of(
    model: type[BaseModel],
    *,
    positional: Sequence[str] = (),
    options: Mapping[str, Parameter] | None = None,
    defaults: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
    own: Sequence[inspect.Parameter] = (),
) -> Callable[[Command], Command]:
    """Give a command one option for each field of the model; ``options`` and ``defaults`` say what differs.

    ``without`` are fields that get none; ``own`` are options beside those of the fields. The command is called with a
    value for every option, by name.
    """

    def decorate(command: Command) -> Command:
        parameters = [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_ONLY if name in positional else inspect.Parameter.KEYWORD_ONLY,
                default=(defaults or {}).get(name, _default_of(field)),
                annotation=Annotated[
                    str if _reads_text(field) else _as_typed(field.annotation),
                    Parameter.combine(option(model, name), (options or {}).get(name)),
                ],
            )
            for name, field in model.model_fields.items()
            if name not in without
        ]
        signature = inspect.Signature(sorted([*own, *parameters], key=lambda parameter: parameter.kind))

        @wraps(command)
        def call(*arguments: Any, **values: Any) -> int | None:
            bound = signature.bind(*arguments, **values)
            bound.apply_defaults()
            return command(**bound.arguments)

        vars(call)["__signature__"] = signature
        return call

    return decorate


def checked(
    model: type[Model], values: Mapping[str, Any], *, names: Mapping[str, str] | None = None
) -> Model:
    """The values as a model, or ``SettingsError`` naming the option; ``names`` are those that differ."""
    try:
        return model(**values)
    except ValidationError as error:
        place, reason = reasons(error)[0]
    if not place:
        raise SettingsError(reason)
    field = place.partition(".")[0]
    name = (names or {}).get(field, "--" + field.replace("_", "-"))
    if reason[1:2].islower():  # a word, not an abbreviation
        reason = reason[:1].lower() + reason[1:]
    raise SettingsError(f"{name}: {reason}")


def _default_of(field: FieldInfo) -> Any:
    default = field.get_default(call_default_factory=True)
    return str(default) if _reads_text(field) else default


def _reads_text(field: FieldInfo) -> bool:
    """Whether the model reads a text of its own kind, such as a duration."""
    return any(isinstance(each, BeforeValidator) for each in field.metadata)


def _as_typed(annotation: Any) -> Any:
    """The annotation as the command line reads it: without constraints, which the model checks."""
    if annotation is AnyHttpUrl:
        return str
    inner = get_args(annotation)
    if get_origin(annotation) is Annotated:
        return _as_typed(inner[0])
    if get_origin(annotation) is tuple:
        return GenericAlias(tuple, tuple(map(_as_typed, inner)))
    return reduce(or_, map(_as_typed, inner)) if isinstance(annotation, UnionType) else annotation
