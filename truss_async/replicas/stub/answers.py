"""What a stub answers: always the same, its input, or what the examples in a file say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from ...contract.json_text import parse, write
from ...errors import SettingsError
from .examples import Example, read_examples

ECHO: Final = "echo"
EXAMPLES: Final = "examples"
_BEGINS_JSON: Final = ("{", "[", '"')
_LONGEST_QUOTE: Final = 60


class UnknownInputError(ValueError):
    """There is no answer to this input."""


class StubAnswers(Protocol):
    """One answer to each input."""

    @property
    def described(self) -> str:
        """What it does: ``it answers …``."""

    @property
    def example_input(self) -> Any:
        """An input that it answers; None where any will do."""

    @property
    def file(self) -> Path | None:
        """Where they are written down; None where they are not."""

    def output_for(self, model_input: Any) -> Any:
        """A new object each time; UnknownInputError where there is none."""


@dataclass(frozen=True)
class SameAnswer:
    """Whatever is asked, the answer is one JSON value."""

    output: bytes
    described: str = "always answers the same"
    example_input: Any = None
    file: Path | None = None

    def output_for(self, model_input: Any) -> Any:
        return parse(self.output)


@dataclass(frozen=True)
class Echo:
    """The answer is the input."""

    described: str = "answers its input"
    example_input: Any = None
    file: Path | None = None

    def output_for(self, model_input: Any) -> Any:
        return model_input


@dataclass(frozen=True)
class ExampleAnswers:
    """The answers to the inputs of a file. Inputs are the same when their JSON means the same."""

    file: Path
    outputs: Mapping[bytes, bytes]
    example_input: Any

    @property
    def described(self) -> str:
        count = len(self.outputs)
        return (
            f"answers the {count} inputs of {self.file}"
            if count > 1
            else f"answers the one input of {self.file}"
        )

    def output_for(self, model_input: Any) -> Any:
        try:
            return parse(self.outputs[_sameness(model_input)])
        except (KeyError, TypeError, RecursionError):
            raise UnknownInputError(
                f"the stub has no answer for this input; add it to the {len(self.outputs)} in {self.file}"
            ) from None


def read_answers(given: Any, *, truss_dir: Path | None = None) -> StubAnswers:
    """The answers that are asked for: JSON (or, in Python, such a value), ``echo``, ``examples`` of the truss, a file.

    Raises:
        SettingsError: it is none of these, or the file says what it must not.
    """
    if isinstance(given, Path):
        return _of_file(given)
    if not isinstance(given, str):
        try:
            return SameAnswer(write(given))
        except ValueError as error:
            raise SettingsError(f"the stub's output cannot be converted to JSON: {error}") from None
    if given == ECHO:
        return Echo()
    if given == EXAMPLES:
        return _of_truss(truss_dir)
    try:
        return SameAnswer(write(parse(given.encode(), allow_inf_nan=False)))
    except ValueError as error:
        if given.lstrip().startswith(_BEGINS_JSON):
            quoted = given if len(given) <= _LONGEST_QUOTE else f"{given[:_LONGEST_QUOTE]}…"
            raise SettingsError(
                f'{quoted} is not valid JSON ({error}); write it as \'{{"text": "x"}}\', in single quotes for the shell'
            ) from None
    return _of_file(Path(given))


def names_file(given: str) -> bool:
    """Whether a text that says what to answer is neither a word nor meant as JSON."""
    if given in (ECHO, EXAMPLES) or given.lstrip().startswith(_BEGINS_JSON):
        return False
    try:
        parse(given.encode())
    except ValueError:
        return True
    return False


def _of_truss(truss_dir: Path | None) -> StubAnswers:
    if truss_dir is None:
        raise SettingsError("--stub examples needs a truss; give its folder, or the examples file itself")
    from ..truss_folder import read_config

    name = read_config(truss_dir).get("examples_filename") or "examples.yaml"
    return _of_file(truss_dir / str(name))


def _of_file(file: Path) -> StubAnswers:
    outputs: dict[bytes, bytes] = {}
    places: dict[bytes, str] = {}
    first: Example | None = None
    for example in read_examples(file):
        first = first or example
        try:
            key, output = _sameness(example.input), write(example.output)
        except (TypeError, ValueError, RecursionError) as error:
            raise SettingsError(f"{file}, {example.place} cannot be converted to JSON: {error}") from None
        if outputs.setdefault(key, output) != output:
            raise SettingsError(
                f"{file}, {example.place} has the same input as {places[key]} but another output; remove one of them"
            )
        places.setdefault(key, example.place)
    if first is None:
        raise SettingsError(f'{file} is empty; each of its lines is {{"input": …, "output": …}}')
    return ExampleAnswers(file, outputs, first.input)


def _sameness(value: Any) -> bytes:
    """The same for what JSON does not tell apart: the order of names, and 1 and 1.0."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":")).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
