"""An input that a deployment answers, for a person who wants to try it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import yaml

from ..errors import TrussAsyncError
from ..text_files import read_text
from .truss_folder import read_config

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import DeploymentSettings

_PLAIN: Final = (dict, list, str, int, float, bool)


def example_input_of(settings: DeploymentSettings) -> Any:
    """The stub's own, that of ``model_metadata.example_model_input``, or the first in examples.yaml; None without any."""
    if settings.stub is not None and (example := settings.stub_answers.example_input) is not None:
        return example
    return None if settings.truss_dir is None else _of_truss(settings.truss_dir)


def _of_truss(truss_dir: Path) -> Any:
    try:
        config = read_config(truss_dir)
        metadata = config.get("model_metadata")
        example = metadata.get("example_model_input") if isinstance(metadata, Mapping) else None
        if example is None:
            examples = yaml.safe_load(
                read_text(truss_dir / str(config.get("examples_filename", "examples.yaml")))
            )
            first = examples[0] if isinstance(examples, list) and examples else None
            example = first.get("input") if isinstance(first, Mapping) else None
    except (TrussAsyncError, OSError, ValueError, yaml.YAMLError):
        return None  # whoever serves the truss says what is wrong with it
    return example if _is_json(example) else None


def _is_json(value: Any) -> bool:
    """Whether YAML said nothing that JSON cannot: a date, a name that is no text."""
    if isinstance(value, dict):
        return all(isinstance(name, str) and _is_json(each) for name, each in value.items())
    if isinstance(value, list):
        return all(map(_is_json, value))
    return value is None or isinstance(value, _PLAIN)
