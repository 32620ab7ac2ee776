"""TOML files that people write for a harness."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..text_files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_toml(file: Path) -> dict[str, Any]:
    """What the file holds.

    Raises:
        SettingsError: it cannot be read, or is no TOML.
    """
    try:
        content: dict[str, Any] = tomllib.loads(read_text(file))
    except OSError as error:
        raise SettingsError(f"cannot read {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SettingsError(f"{file} is not valid TOML: {error}") from error
    return content
