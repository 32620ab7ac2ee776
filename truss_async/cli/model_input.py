"""INPUT of a command: JSON, a file that holds it, or standard input."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

from cyclopts import Parameter

from ..contract.json_text import check_finite, parse
from ..errors import SettingsError
from ..text_files import as_text

STANDARD_INPUT: Final = "@-"

ModelInput: TypeAlias = Annotated[
    str | None,
    Parameter(
        name="INPUT",
        help="Model input: JSON, @FILE, or - for standard input (the default in a pipe).",
    ),
]


def read_model_input(given: str | None) -> Any:
    """The model input, from wherever it is.

    Raises:
        SettingsError: there is none, it cannot be read, or it is not JSON.
    """
    return _parse(_read(given))


def _read(model_input: str | None) -> bytes:
    if model_input is None:
        if sys.stdin.isatty():
            raise SettingsError("give the model input: JSON, @FILE, or - for standard input")
        model_input = STANDARD_INPUT
    if model_input == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    if not model_input.startswith("@"):
        return model_input.encode("utf-8", "surrogateescape")
    path = Path(model_input[1:])
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def _parse(text: bytes) -> Any:
    try:
        model_input = parse(as_text(text).encode(), allow_inf_nan=False)
        check_finite(model_input, name="model_input")
    except ValueError as error:
        raise SettingsError(
            f"the model input is not JSON: {error}; give JSON, @FILE, or - for standard input"
        ) from None
    return model_input
