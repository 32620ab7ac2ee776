"""Two ways to make an environment: uv, as in the platform's images and many times faster, and pip, which is always there."""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .interpreter import process_environment
from .subprocesses import run

_UV_NAMES: Final = {
    "constraint": ("UV_CONSTRAINT", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
}
"""Where pip looks for packages, in the variables of uv, and what stands between two values there."""
_PIP_OPTION: Final = re.compile(r"(global|install|:env:)\.([a-z-]+)=(.*)")
_PIP_OPTIONS: Final = ("--no-input", "--disable-pip-version-check", "--no-compile", "--progress-bar", "off")


@dataclass(frozen=True)
class Installer:
    """``make`` makes an environment with pip in it, ``fill`` and the names of two files install into it."""

    make: tuple[str | Path, ...]
    fill: tuple[str | Path, ...]
    environment: Mapping[str, str]


_NO_SUCH: Final = re.compile(r"\b(?P<name>[\w.-]+) was not found in the package registry\b")
_NOT_ASKED: Final = re.compile(r"could not be queried|network|offline", re.IGNORECASE)
"""What uv adds where it could not look into every index, so that pip, asked in its own way, may still find the package."""


def unknown_package(said: Iterable[str]) -> str | None:
    """The package that no index has, as uv says in these lines; None when it failed for another reason."""
    text = " ".join(" ".join(said).split())
    found = _NO_SUCH.search(text)
    return None if found is None or _NOT_ASKED.search(text) else found["name"]


def find_uv() -> Path | None:
    """The uv beside this interpreter, or else on PATH."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return Path(found) if (found := shutil.which("uv", path=path)) else None


def pip_installer(venv: Path, *, base: Path) -> Installer:
    """An installer that makes the environment with the interpreter ``base``."""
    python = python_of(venv)
    return Installer(
        make=(base, "-m", "venv", venv),
        fill=(python, "-m", "pip", "install", *_PIP_OPTIONS),
        environment=process_environment(python, isolated=True),
    )


async def uv_installer(uv: Path, venv: Path, *, base: Path) -> Installer:
    """The same, which takes packages from where pip would; its index strategy is that of pip, and of Truss."""
    python = python_of(venv)
    environment = process_environment(python, isolated=True)
    lines: list[str] = []
    pip_config = (sys.executable, "-m", "pip", "config", "list")
    # Where there is no pip, it is not configured either.
    await run(pip_config, env=environment, cwd=venv.parent, on_line=lines.append)
    own = {name: value for name, value in environment.items() if value}
    return Installer(
        make=(uv, "venv", "--quiet", "--seed", "--python", base, venv),
        fill=(uv, "pip", "install", "--python", python, "--index-strategy", "unsafe-best-match"),
        environment={**uv_variables(lines), **own},
    )


def uv_variables(pip_config: Iterable[str]) -> dict[str, str]:
    """What ``pip config list`` says about package indexes, in the variables of uv."""
    found = [match.groups() for line in pip_config if (match := _PIP_OPTION.fullmatch(line))]
    said: dict[str, str] = {}
    for section in ("global", "install", ":env:"):  # the last has the last word
        said |= {option: ast.literal_eval(value) for where, option, value in found if where == section}
    return {
        name: separator.join(said[option].split())
        for option, (name, separator) in _UV_NAMES.items()
        if said.get(option)
    }


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"
