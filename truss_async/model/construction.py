"""What Truss hands to a model's constructor, kept for saving whatever the user's ``__init__`` takes."""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..contract.truss_server import CONSTRUCTOR_ARGUMENTS
from .settings import OutputSettings, resolve_settings

if TYPE_CHECKING:
    from .saver import OutputSaver

ARGUMENTS_ATTRIBUTE: Final = "_save_output_arguments"
_STATE_KEY: Final = "_truss_async_state"
_REMEMBERING: Final = "_truss_async_init"
_KEPT: Final = ("config", "secrets", "environment")

Initialiser = Callable[..., None]


class ModelState:
    """What is known of one model object."""

    def __init__(self) -> None:
        self.config: Mapping[str, Any] | None = None
        self.secrets: Mapping[str, str] | None = None
        self.environment: Any = None
        self.saver: OutputSaver | None = None
        self.saver_made_for: type | None = None


def state_of(model: object) -> ModelState:
    """The state kept in the model object; written past ``__setattr__``, which may be the user's or a framework's."""
    state: ModelState = vars(model).setdefault(_STATE_KEY, ModelState())
    return state


def settings_of(model: object, *, url_needed: bool = True) -> OutputSettings:
    """The settings of the model, from wherever they are given."""
    return resolve_settings(
        arguments=getattr(model, ARGUMENTS_ATTRIBUTE, {}),
        model=model,
        environ=os.environ,
        config=state_of(model).config or {},
        url_needed=url_needed,
    )


def remembering_init(init: Initialiser, *, when_constructed: Callable[[object], None]) -> Initialiser:
    """An ``__init__`` that keeps what Truss gives, and hands the user's own what that one takes.

    ``when_constructed`` is called once, after the outermost ``__init__`` is through.
    """

    @functools.wraps(init)
    def initialise(self: object, *arguments: Any, **keywords: Any) -> None:
        _remember(self, init, arguments, keywords)
        init(self, *arguments, **accepted_keywords(init, keywords))
        if type(self).__init__ is initialise:
            when_constructed(self)

    vars(initialise).update({"__signature__": _signature_for_truss(init), _REMEMBERING: True})
    return initialise


def is_remembering(init: object) -> bool:
    """Whether this ``__init__`` is one of ours already."""
    return hasattr(init, _REMEMBERING)


def accepted_keywords(init: Initialiser, keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords without those of Truss's that this ``__init__`` does not take."""
    parameters = _parameters(init)
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return dict(keywords)
    names = {each.name for each in parameters}
    return {
        name: value for name, value in keywords.items() if name in names or name not in CONSTRUCTOR_ARGUMENTS
    }


def _remember(
    model: object, init: Initialiser, arguments: tuple[Any, ...], keywords: Mapping[str, Any]
) -> None:
    """Keep what is given by keyword, as Truss does, or by position, as a test may."""
    state = state_of(model)
    names = [each.name for each in _parameters(init)]
    given = {**dict(zip(names, (model, *arguments), strict=False)), **keywords}
    for name in _KEPT:
        if given.get(name) is not None:
            setattr(state, name, given[name])


def _signature_for_truss(init: Initialiser) -> inspect.Signature:
    """The user's parameters, and those by which Truss hands over what we keep."""
    own = _parameters(init) or [inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
    if any(each.kind is each.VAR_KEYWORD for each in own):
        return inspect.Signature(own)
    names = {each.name for each in own}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None)
        for name in _KEPT
        if name not in names
    ]
    return inspect.Signature([*own, *added])


def _parameters(init: Initialiser) -> list[inspect.Parameter]:
    """None for an ``__init__`` written in C: ``object``'s claims to take anything, and takes nothing."""
    if not inspect.isfunction(getattr(init, "__func__", init)):
        return []
    return list(inspect.signature(init).parameters.values())
