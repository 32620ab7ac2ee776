"""A truss to begin with: a model that saves its outputs, its tests, and a receiver."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Final

from ..errors import HarnessError
from ..whole_files import write_whole

_SOURCE: Final = Path(__file__).with_name("starter_truss")
_HIDDEN: Final = {"gitignore": ".gitignore", "truss_ignore": ".truss_ignore"}
"""Files that would be obeyed where they are kept."""


def write_starter_truss(folder: Path) -> list[Path]:
    """Write the truss into ``folder``, which is made if need be; return its files. Nothing that is there is touched.

    Raises:
        HarnessError: one of the files is there already, or the folder cannot be written.
    """
    files = {folder / name: text for name, text in _texts(folder).items()}
    try:
        for path in files:
            if path.exists() or path.is_symlink():
                raise HarnessError(f"{path} exists already; give a new or empty folder")
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, text.encode())
    except OSError as error:
        raise HarnessError(f"cannot write a truss into {folder}: {error.strerror}") from error
    return list(files)


def _texts(folder: Path) -> dict[str, str]:
    """The texts by their names in the truss."""
    found = {}
    for path in sorted(_SOURCE.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            name = path.relative_to(_SOURCE).as_posix()
            found[_HIDDEN.get(name, name)] = path.read_text(encoding="utf-8")
    config = found["config.yaml"].replace("{model_name}", _model_name(folder))
    found["config.yaml"] = config.replace("{python_version}", "py{}{}".format(*sys.version_info[:2]))
    return found


def _model_name(folder: Path) -> str:
    """The folder's name as a title, in quotes: ``page-reader`` becomes ``"Page reader"``."""
    words = " ".join(re.findall(r"[^\W_]+", folder.resolve().name)) or "Model"
    return json.dumps(words[:1].upper() + words[1:], ensure_ascii=False)
