"""Finds a Python of a given version on this machine: on PATH, kept by pyenv, or kept by uv. Installs none."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import HarnessError
from .inherited import inherited_environment
from .installers import find_uv
from .interpreter import find_python, probe
from .protocol import UnservableError

if TYPE_CHECKING:
    from .interpreter import Interpreter

VERSION: Final = re.compile(r"3\.\d+")
SEARCHED: Final = "on PATH, among pyenv's versions or among uv's"
_SECONDS: Final = 30


async def find_version(version: str, *, cwd: Path, modules: Sequence[str] = ()) -> Interpreter | None:
    """The first interpreter found that has this version, such as ``3.12``, and answers; None when there is none.

    Of the modules it is asked whether it has them.
    """
    candidates, tried = _candidates(version), set[Path]()
    while (python := await asyncio.to_thread(next, candidates, None)) is not None:
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


async def required_version(version: str, *, cwd: Path, modules: Sequence[str] = ()) -> Interpreter:
    """The same; UnservableError, with the remedy, when there is none."""
    found = await find_version(version, cwd=cwd, modules=modules)
    if found is None:
        raise UnservableError(_not_found(version))
    return found


def check_python(given: Path | None) -> None:
    """Let a version pass that some interpreter here answers with, and a file that can be run.

    Raises:
        HarnessError: it is neither.
    """
    if given is None:
        return
    if VERSION.fullmatch(str(given)):
        if not any(_answers(python, str(given)) for python in _candidates(str(given))):
            raise HarnessError(_not_found(str(given)))
        return
    python = find_python(given)
    if not os.access(python, os.X_OK) or python.is_dir():
        raise HarnessError(
            f"{python} is not a Python interpreter; give the path of one with --python, or a version such as 3.12"
        )


def _answers(python: Path, version: str) -> bool:
    """Whether it runs, and has that version: a script of pyenv's for one that is not switched on does not."""
    done = _output_of((python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"))
    return done is not None and done.split() == [version]


def _not_found(version: str) -> str:
    return (
        f"no Python {version} was found {SEARCHED}, as --python asks: "
        f"install one (uv python install {version}), or give the path of one"
    )


def _candidates(version: str) -> Iterator[Path]:
    if version == ".".join(map(str, sys.version_info[:2])):
        yield Path(sys.executable)
    yield from _on_path(version)
    yield from _of_pyenv(version)
    if (uv := find_uv()) is not None and (kept := _of_uv(uv, version)) is not None:
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


def _of_uv(uv: Path, version: str) -> Path | None:
    command = (uv, "python", "find", "--quiet", "--no-python-downloads", "--no-project", "--system", version)
    lines = (_output_of(command) or "").splitlines()
    return Path(lines[-1]) if lines else None


def _output_of(command: Sequence[str | Path]) -> str | None:
    """What it prints; None when it cannot be started, fails, or does not end."""
    try:
        done = subprocess.run(
            command,
            env=inherited_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
