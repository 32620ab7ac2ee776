"""An input that a deployment answers, for a person who wants to try it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import yaml

from ..errors import TrussAsyncError
from ..text_files import read_text
from .truss_folder import Method, method_of_model, read_config

if TYPE_CHECKING:
    from pathlib import Path

    from .settings import DeploymentSettings

_TAKING_INPUT: Final = ("preprocess", "predict")
"""The hooks to which the input goes, the first one first."""
_SELF_AND_INPUT: Final = 2
_PLAIN: Final = (dict, list, str, int, float, bool)


def example_input_of(settings: DeploymentSettings) -> Any:
    """The stub's own, that of ``model_metadata.example_model_input``, or the first in examples.yaml; None without any."""
    if settings.stub is not None and (example := settings.stub_answers.example_input) is not None:
        return example
    return None if settings.truss_dir is None else _of_truss(settings.truss_dir)


def expected_names(settings: DeploymentSettings) -> list[str]:
    """The keys that the model's code reads from its input, as far as its file tells, in their order."""
    if settings.truss_dir is None or settings.stub is not None:
        return []
    try:
        config = read_config(settings.truss_dir)
    except (TrussAsyncError, OSError):
        return []  # whoever serves the truss says what is wrong with it
    for hook in _TAKING_INPUT:
        if (made := method_of_model(settings.truss_dir, config, hook)) is not None:
            return _keys_read(made)
    return []


def _keys_read(method: Method) -> list[str]:
    """Of its first parameter after self: ``model_input["name"]`` and ``model_input.get("name")``."""
    names = [each.arg for each in (*method.args.posonlyargs, *method.args.args)]
    if len(names) < _SELF_AND_INPUT:
        return []
    found = (_key(node, of=names[1]) for node in ast.walk(method))
    return list(dict.fromkeys(key for key in found if key is not None))


def _key(node: ast.AST, *, of: str) -> str | None:
    match node:
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Constant(value=str(key))) if name == of:
            return key
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[ast.Constant(value=str(key)), *_]
        ) if name == of:
            return key
    return None


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
