"""Making and loading the model, with the arguments that Truss hands to its constructor."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ...text_files import read_text
from .hooks import hooks_of_callable, hooks_of_model, is_model

if TYPE_CHECKING:
    from .hooks import ModelHooks

LOAD_ATTEMPTS: Final = 2
"""As the server does by default, though it waits a second in between."""

_VARIABLE: Final = "TRUSS_SECRET_"


@dataclass(frozen=True)
class Surroundings:
    """What a replica has beside its model. ``variables`` are stronger than those of this process.

    ``config`` is what a truss's config.yaml says, for a model that stands in for one.
    """

    data_dir: Path
    environment: str
    predict_concurrency: int
    secrets_dir: Path | None
    variables: Mapping[str, str]
    config: Mapping[str, Any] = field(default_factory=dict)


def load_model(given: Any, surroundings: Surroundings) -> ModelHooks:
    """The hooks of a loaded model. Raises whatever the model raises, or ModelDefinitionError."""
    if not isinstance(given, type) and not is_model(given):
        return hooks_of_callable(given)
    model = _construct(given, surroundings) if isinstance(given, type) else given
    hooks = hooks_of_model(model)
    if hooks.setup_environment is not None and surroundings.environment:
        hooks.setup_environment.function({"name": surroundings.environment})
    if hasattr(model, "load"):
        _load(model)
    return hooks


def _load(model: Any) -> None:
    for attempt in range(1, LOAD_ATTEMPTS + 1):
        try:
            model.load()
        except Exception:
            if attempt == LOAD_ATTEMPTS:
                raise
        else:
            return


def _construct(model_class: type, surroundings: Surroundings) -> Any:
    arguments = {
        "config": {
            "environment_variables": {},
            "model_metadata": {},
            "model_name": model_class.__name__,
            "runtime": {"predict_concurrency": surroundings.predict_concurrency},
            "secrets": {},
            **surroundings.config,
        },
        "data_dir": surroundings.data_dir,
        "environment": {"name": surroundings.environment} if surroundings.environment else None,
        "lazy_data_resolver": NothingToDownload(),
        "secrets": TrussSecrets(surroundings.secrets_dir, {**os.environ, **surroundings.variables}),
    }
    parameters = inspect.signature(model_class).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        arguments = {name: value for name, value in arguments.items() if name in parameters}
    if "data_dir" in arguments:
        surroundings.data_dir.mkdir(parents=True, exist_ok=True)
    return model_class(**arguments)


class TrussSecrets(Mapping[str, str]):
    """Secrets as Truss hands them over: to be looked up, not to be listed. None needs to be declared."""

    def __init__(self, folder: Path | None, variables: Mapping[str, str]) -> None:
        self._folder = folder
        self._variables = variables

    def __getitem__(self, name: str) -> str:
        value = self._variables.get(f"{_VARIABLE}{name}")
        if self._folder is not None and (file := self._folder / name).is_file():
            value = read_text(file)
        if not value:
            raise SecretNotFound(
                f"Secret '{name}' not found: set {_VARIABLE}{name}, or put a file {name} into secrets_dir"
            )
        return value

    def __iter__(self) -> NoReturn:
        raise NotImplementedError("Secrets are meant for lookup and can't be iterated on")

    def __len__(self) -> int:
        names = {name for name in self._variables if name.startswith(_VARIABLE)}
        if self._folder is not None:
            names.update(f"{_VARIABLE}{file.name}" for file in self._folder.iterdir() if file.is_file())
        return len(names)


SecretNotFound = type("SecretNotFound", (Exception,), {"__doc__": "Truss's name; code tells it by that."})


class NothingToDownload:
    """Stands for Truss's lazy data resolver."""

    def block_until_download_complete(self, log_stats: bool = True, issue_collect: bool = True) -> str:
        return ""
