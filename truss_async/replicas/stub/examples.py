"""Files of examples: JSON lines, or YAML as a truss's own examples.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ...contract.json_text import parse
from ...errors import SettingsError
from ...text_files import read_text

_YAML: Final = (".yaml", ".yml")
_SHAPE: Final = '{"input": …, "output": …}'


@dataclass(frozen=True)
class Example:
    """An input and its output, and where in the file they stand."""

    input: Any
    output: Any
    place: str


def read_examples(file: Path) -> Iterator[Example]:
    """The examples of the file, in its order.

    Raises:
        SettingsError: it cannot be read, or says what it must not.
    """
    try:
        text = read_text(file)
    except FileNotFoundError:
        raise SettingsError(
            f"the file {file} does not exist; a stub is JSON, echo, or a file with lines {_SHAPE}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read {file}: {getattr(error, 'strerror', None) or error}") from None
    return _of_yaml(file, text) if file.suffix.lower() in _YAML else _of_lines(file, text)


def _of_lines(file: Path, text: str) -> Iterator[Example]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        place = f"line {number}"
        try:
            said = parse(line.encode("utf-8", "surrogatepass"), allow_inf_nan=False)
        except ValueError as error:
            raise SettingsError(
                f"{file}, {place} is not JSON ({error}); write each line as {_SHAPE}"
            ) from None
        yield _example(said, file, place)


def _of_yaml(file: Path, text: str) -> Iterator[Example]:
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(
            f"{file} is not valid YAML: {' '.join(str(error).split())}; fix it and try again"
        ) from None
    if not isinstance(said, list | None):
        raise SettingsError(f"{file} must be a list of examples, each with a name, an input and an output")
    for number, each in enumerate(said or (), 1):
        yield _example(each, file, f"example {number}")


def _example(said: Any, file: Path, place: str) -> Example:
    for name in ("input", "output"):
        if not isinstance(said, dict) or name not in said:
            raise SettingsError(f"{file}, {place} has no {name}; write it as {_SHAPE}, or use the stub echo")
    return Example(said["input"], said["output"], place)
