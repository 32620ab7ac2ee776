"""Chooses the interpreter that runs a truss: the current one, a given one, or one made for it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from ..errors import HarnessError
from .installers import find_uv
from .interpreter import find_python, probe
from .requirements import collect_needs, read_pip_file
from .venv_cache import VenvCache

if TYPE_CHECKING:
    from ..clock import Clock
    from .context import BuildContext
    from .settings import DeploymentSettings


@dataclass(frozen=True)
class Environment:
    """``isolated``: holds the truss's requirements alone. ``adds_plugin``: the plugin has to be put beside."""

    python: Path
    isolated: bool
    adds_plugin: bool


async def choose_environment(
    context: BuildContext,
    *,
    settings: DeploymentSettings,
    truss_dir: Path,
    cwd: Path,
    clock: Clock,
    report: Callable[[str], None],
) -> tuple[Environment, str]:
    """Return an interpreter that has everything, and its Python version; raise HarnessError, with the remedy, when there is none."""
    lines = [*context.requirements, *_requirements_file_lines(context, truss_dir)]
    python = find_python(settings.python) if settings.python is not None else Path(sys.executable)
    interpreter = await probe(python, isolated=False, cwd=cwd)
    version = interpreter.markers["python_version"]
    needs = collect_needs(lines, markers=interpreter.markers)
    adds_plugin = needs.plugin and not context.has_own_plugin
    missing = interpreter.missing(needs)
    if settings.python is not None:
        if missing:
            raise HarnessError(
                f"{python} lacks {', '.join(missing)}: install that there, or leave out --python"
            )
        return Environment(python, isolated=False, adds_plugin=adds_plugin), version
    if not missing and not needs.unverifiable:
        return Environment(python, isolated=False, adds_plugin=False), version
    if not settings.install:
        lacking = ", ".join([*missing, *needs.unverifiable])
        raise HarnessError(
            f"the truss requires {lacking}, and nothing may be installed: "
            "install that beside truss-async, give --python, or leave out --no-install"
        )
    folder = settings.cache_dir or platformdirs.user_cache_path("truss-async")
    cache = VenvCache(folder.absolute() / "environments", clock=clock, report=report, uv=find_uv())
    python = await cache.ensure(needs, constraints=context.constraints, base=interpreter)
    return Environment(python, isolated=True, adds_plugin=adds_plugin), version


def _requirements_file_lines(context: BuildContext, truss_dir: Path) -> list[str]:
    file = context.config.get("requirements_file")
    # truss reads pyproject.toml and uv.lock itself, when it builds the context.
    if not file or Path(file).name in ("pyproject.toml", "uv.lock"):
        return []
    return read_pip_file(truss_dir / file)
