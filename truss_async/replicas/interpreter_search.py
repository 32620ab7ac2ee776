"""Finds a Python of a given version on this machine: on PATH, kept by pyenv, or kept by uv. Installs none."""

from __future__ import annotations

import os
import re
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import HarnessError
from .inherited import inherited_environment
from .installers import find_uv
from .interpreter import find_python, probe
from .subprocesses import run

if TYPE_CHECKING:
    from .interpreter import Interpreter

VERSION: Final = re.compile(r"3\.\d+")
SEARCHED: Final = "on PATH, among pyenv's versions or among uv's"


async def find_version(version: str, *, cwd: Path, modules: Sequence[str] = ()) -> Interpreter | None:
    """The first interpreter found that has this version, such as ``3.12``, and answers; None when there is none.

    Of the modules it is asked whether it has them.
    """
    tried: set[Path] = set()
    async for python in _candidates(version, cwd=cwd):
        if python in tried:
            continue
        tried.add(python)
        try:
            found = await probe(python, isolated=False, cwd=cwd, modules=modules, resolve=True)
        except HarnessError:
            continue  # such as a script of pyenv's, for a version that is not switched on
        if found.version == version:
            return found
    return None


def check_python(given: Path | None) -> None:
    """Let a version pass, and a file that can be run.

    Raises:
        HarnessError: it is neither.
    """
    if given is None or VERSION.fullmatch(str(given)):
        return
    python = find_python(given)
    if not os.access(python, os.X_OK) or python.is_dir():
        raise HarnessError(
            f"there is no Python to run at {python}: give the path of one with --python, or a version such as 3.12"
        )


async def _candidates(version: str, *, cwd: Path) -> AsyncIterator[Path]:
    if version == ".".join(map(str, sys.version_info[:2])):
        yield Path(sys.executable)
    for python in (*_on_path(version), *_of_pyenv(version)):
        yield python
    if (uv := find_uv()) is not None and (kept := await _of_uv(uv, version, cwd=cwd)) is not None:
        yield kept


def _on_path(version: str) -> Iterator[Path]:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        python = Path(folder, f"python{version}")
        if folder and os.access(python, os.X_OK):
            yield python


def _of_pyenv(version: str) -> list[Path]:
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [path for path in root.glob(f"versions/{version}.*/bin/python") if os.access(path, os.X_OK)]
    return sorted(found, key=lambda path: _numbers(path.parents[1].name), reverse=True)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


async def _of_uv(uv: Path, version: str, *, cwd: Path) -> Path | None:
    lines: deque[str] = deque(maxlen=1)
    command = (uv, "python", "find", "--quiet", "--no-python-downloads", "--no-project", "--system", version)
    try:
        status = await run(command, env=inherited_environment(), cwd=cwd, on_line=lines.append)
    except OSError:
        return None
    return Path(lines[0]) if status == 0 and lines else None
