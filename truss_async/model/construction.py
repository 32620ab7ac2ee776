"""What Truss hands to a model's constructor, kept for saving whatever the user's ``__init__`` takes."""

import functools
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..clock import SYSTEM_CLOCK
from ..errors import OutputStoreError
from ..stores import StoreCredentials, object_store
from .counters import SaveCounts
from .destination import Destinations
from .retries import worth_retrying
from .saver import OutputSaver
from .settings import OutputSettings, resolve_settings
from .spill import SpillFolder

logger = logging.getLogger(__name__)

ARGUMENTS_ATTRIBUTE: Final = "_save_output_arguments"
_STATE_KEY: Final = "_truss_async_state"
_REMEMBERING: Final = "_truss_async_init"
_KEPT: Final = ("config", "secrets", "environment")
_GIVEN_BY_TRUSS: Final = (*_KEPT, "data_dir", "lazy_data_resolver")

Initialiser = Callable[..., None]

_making_saver = threading.Lock()


@dataclass
class ModelState:
    """What is known of one model object."""

    config: Mapping[str, Any] | None = None
    secrets: Mapping[str, str] | None = None
    environment: Any = None
    saver: OutputSaver | None = None
    saver_made_for: type | None = None


def state_of(model: object) -> ModelState:
    """The state kept in the model object; written past ``__setattr__``, which may be the user's or a framework's."""
    state: ModelState = vars(model).setdefault(_STATE_KEY, ModelState())
    return state


def saver_of(model: object) -> OutputSaver:
    """What saves the model's outputs, made from its settings when first asked for.

    Made again when the object has got another class, which is how Truss reloads an edited model.
    """
    state = state_of(model)
    with _making_saver:
        if state.saver is None or state.saver_made_for is not type(model):
            state.saver, state.saver_made_for = _make_saver(model, state), type(model)
        return state.saver


def settings_of(model: object, *, url_needed: bool = True) -> OutputSettings:
    """The settings of the model, from wherever they are given."""
    return resolve_settings(
        arguments=getattr(model, ARGUMENTS_ATTRIBUTE, {}),
        model=model,
        environ=os.environ,
        config=state_of(model).config or {},
        url_needed=url_needed,
    )


def save_counts(model: object) -> SaveCounts:
    """How many of the model's outputs were saved, were not, or wait in the spill folder."""
    return saver_of(model).counts


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
    return {name: value for name, value in keywords.items() if name in names or name not in _GIVEN_BY_TRUSS}


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


def _make_saver(model: object, state: ModelState) -> OutputSaver:
    settings = settings_of(model)
    credentials = (
        StoreCredentials() if state.secrets is None else StoreCredentials.from_secrets(state.secrets)
    )
    destinations = Destinations(
        settings,
        environment=_environment_name(state.environment),
        open_store=functools.partial(object_store, credentials=credentials, options=settings.store_options),
    )
    spill_folder = None
    if settings.on_failure == "spill":
        spill_folder = SpillFolder.prepared(settings.spill_dir, clock=SYSTEM_CLOCK)
    _check(destinations, settings)
    return OutputSaver(settings, destinations=destinations, clock=SYSTEM_CLOCK, spill_folder=spill_folder)


def _check(destinations: Destinations, settings: OutputSettings) -> None:
    """Fail the load for a store that cannot be written, unless it may be back soon and there is a way to wait."""
    url = destinations.check(now=SYSTEM_CLOCK.now(), write=False)
    try:
        if settings.check and _in_truss_server():
            destinations.check(now=SYSTEM_CLOCK.now(), write=True)
    except OutputStoreError as error:
        if settings.on_failure == "raise" or not worth_retrying(error):
            raise
        logger.warning("%s", error)
    logger.info("outputs are saved under %s", url)


def _environment_name(environment: Any) -> str | None:
    """The name in what Truss gives: ``{"name": "production", …}``, or None outside of any environment."""
    name = environment.get("name") if isinstance(environment, Mapping) else environment
    return str(name) if name else None


def _in_truss_server() -> bool:
    """Whether a server has made the model, and not a test of its author's."""
    return "model_wrapper" in sys.modules
