"""The build context of a truss, laid out in a folder the way its Dockerfile would in the image."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ..errors import HarnessError
from ..nearest import mistyped
from .inherited import inherited_environment
from .protocol import UnservableError
from .subprocesses import run

_BUILDER: Final = Path(__file__).with_name("context_builder.py")
_IMPORT_OF_PLUGIN: Final = re.compile(rb"^[ \t]*(?:import|from)[ \t]+truss_async\b", re.MULTILINE)
_BESIDE_THE_POINT: Final = re.compile(r" ?\[type=.*?\]| ?For further information visit \S+", re.DOTALL)
_LOCAL_SOURCES: Final = ("truss_chains", "truss")


@dataclass(frozen=True)
class BuildContext:
    """What an image of this truss would hold, and where it lies instead."""

    app_dir: Path
    packages_dir: Path | None
    constraints: str
    config: Mapping[str, Any]
    own_requirements: tuple[str, ...]
    """Lines of ``requirements`` in the config, which are among those of the image."""
    file_requirements: tuple[str, ...]
    """Lines of a pyproject.toml that the config names; a pip file is left to be read."""
    image_requirements: tuple[str, ...]
    """Lines of the context's requirements.txt: what every image has, as far as the truss says nothing else, and its own."""
    mistyped_keys: Mapping[str, str]
    """Keys of the config that truss passes over, each with the one that it was meant to be."""
    names_python: bool
    """Whether the config says ``python_version``; else ``config`` has truss's default."""

    @property
    def environment_variables(self) -> dict[str, str]:
        return {key: str(value) for key, value in (self.config.get("environment_variables") or {}).items()}

    @property
    def has_own_plugin(self) -> bool:
        return self.packages_dir is not None and (self.packages_dir / "truss_async").is_dir()

    @property
    def imports_plugin(self) -> bool:
        """Whether a module of the model's does; what lies in its data and packages is not looked at."""
        modules = (self.app_dir / "model").rglob("*.py")
        return any(_IMPORT_OF_PLUGIN.search(each.read_bytes()) for each in modules if each.is_file())


async def build_context(truss_dir: Path, *, into: Path) -> BuildContext:
    """Build the context in the folder ``into``, which is emptied; raise HarnessError when truss refuses."""
    scratch, answer_file = into / "context", into / "answer.json"
    try:
        await asyncio.to_thread(_empty, into)
        await _run_builder(truss_dir, scratch, answer_file)
        return await asyncio.to_thread(_lay_out, scratch, into, answer_file)
    except OSError as error:
        raise HarnessError(
            f"cannot copy the truss to {into}: {error}; check free disk space and permissions"
        ) from error


async def _run_builder(truss_dir: Path, context_dir: Path, answer_file: Path) -> None:
    output: deque[str] = deque(maxlen=20)
    # truss keeps caches below its home, which two builds at once would share.
    environment = {**inherited_environment(), "HOME": str(answer_file.parent), "PYTHONWARNINGS": "ignore"}
    command: list[str | Path] = [sys.executable, _BUILDER, truss_dir, context_dir, answer_file]
    status = await run(command, env=environment, cwd=answer_file.parent, on_line=output.append)
    if status == 0:
        return
    reason = await asyncio.to_thread(_read_error, answer_file)
    reason = _BESIDE_THE_POINT.sub("", reason or (output[-1] if output else f"status {status}"))
    raise UnservableError(
        f"truss does not accept {truss_dir}: {reason}; correct config.yaml (truss-async doctor {truss_dir} checks it again)"
    )


def _read_error(answer_file: Path) -> str | None:
    if not answer_file.exists():
        return None
    error: str | None = json.loads(answer_file.read_text(encoding="utf-8")).get("error")
    return error


def _empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _lay_out(context: Path, into: Path, answer_file: Path) -> BuildContext:
    answer = json.loads(answer_file.read_text(encoding="utf-8"))
    config = yaml.safe_load((context / "config.yaml").read_text(encoding="utf-8"))
    app_dir, packages_dir = into / "app", into / "packages"
    (context / "server").rename(app_dir)
    from_root = ("config.yaml", *(_LOCAL_SOURCES if config.get("use_local_src") else ()))
    moves = {context / name: app_dir / name for name in from_root}
    moves[context / config["model_module_dir"]] = app_dir / "model"
    moves[context / config["data_dir"]] = app_dir / "data"
    moves[context / config["bundled_packages_dir"]] = packages_dir
    for source, destination in moves.items():
        if source.exists():
            source.rename(destination)
    constraints_file = context / "constraints.txt"
    constraints = constraints_file.read_text(encoding="utf-8") if constraints_file.exists() else ""
    image_requirements = tuple((context / "requirements.txt").read_text(encoding="utf-8").splitlines())
    shutil.rmtree(context)
    return BuildContext(
        app_dir=app_dir,
        packages_dir=packages_dir if packages_dir.is_dir() else None,
        constraints=constraints,
        config=config,
        own_requirements=tuple(answer["requirements"]),
        file_requirements=tuple(answer["file_requirements"]),
        image_requirements=image_requirements,
        names_python=answer["names_python"],
        mistyped_keys=mistyped(answer["unknown_keys"], known=answer["known_keys"]),
    )
