"""Chooses the interpreter that runs a truss: one made as the truss's image is, the current one, or a given one."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..shipping.dependencies import DISTRIBUTION
from .installers import find_uv
from .interpreter import find_python, probe
from .interpreter_search import SEARCHED, VERSION, find_version, required_version
from .protocol import UnservableError
from .requirements import Needs, brought_by_image, read_lines, read_pip_file
from .server_imports import server_imports
from .venv_cache import VenvCache, environments_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .context import BuildContext
    from .host import ReplicaHost
    from .interpreter import Interpreter
    from .settings import DeploymentSettings

_RESOLVED_FILES: Final = ("pyproject.toml", "uv.lock")
"""Dependency files that truss reads itself, when it builds the context."""


@dataclass(frozen=True)
class Environment:
    """``isolated``: holds what the image would alone. ``adds_plugin``: the plugin has to be put beside."""

    python: Path
    isolated: bool
    adds_plugin: bool


_UNNAMED_PLUGIN: Final = (
    "the model imports truss_async, which is not among the requirements in config.yaml: it is added here but "
    f"would be missing in the image; add {DISTRIBUTION} to requirements, then run truss-async package"
)


@dataclass(frozen=True)
class EnvironmentChoice:
    """What there is to choose from, and who is told about it: a remark is for a person, progress for whoever watches."""

    context: BuildContext
    settings: DeploymentSettings
    truss_dir: Path
    cwd: Path
    host: ReplicaHost
    remark: Callable[[str], None]

    async def make(self) -> Environment:
        """Return an interpreter that has what the truss requires; raise HarnessError, with the remedy, when there is none."""
        interpreter, needs = await self._found()
        if (there := self._there(interpreter, needs)) is not None:
            return there
        python = await self._cache.ensure(needs, base=interpreter)
        return Environment(python, isolated=True, adds_plugin=self._adds_plugin(needs))

    async def survey(self) -> str:
        """What ``make`` would return, in words; nothing is installed. HarnessError as there."""
        interpreter, needs = await self._found()
        named = f"Python {interpreter.version}"
        if (there := self._there(interpreter, needs)) is not None:
            return f"{named}, as it is: {there.python}"
        if (kept := self._cache.kept(needs, base=interpreter)) is not None:
            return f"{named}, with what the truss requires installed already: {kept}"
        count = sum(len(step.lines) for step in needs.steps())
        return f"{named}; the first start installs {count} requirements, once, which may take minutes"

    async def _found(self) -> tuple[Interpreter, Needs]:
        interpreter = await self._find()
        self._remark_on_python(interpreter)
        needs = self._needs(interpreter.markers)
        if not needs.plugin and not self.context.has_own_plugin and self.context.imports_plugin:
            self.remark(_UNNAMED_PLUGIN)
            needs = needs.with_plugin(interpreter.markers)
        return interpreter, needs

    def _there(self, interpreter: Interpreter, needs: Needs) -> Environment | None:
        """The interpreter itself, if it may be used; None: an environment has to be made from it."""
        if self._is_path:
            return self._as_it_is(interpreter, needs, remedy="remove --python")
        is_current = interpreter.python == Path(sys.executable)
        if is_current and not needs.unverifiable and not _lacks(interpreter, needs):
            return Environment(interpreter.python, isolated=False, adds_plugin=False)
        if not self.settings.install:
            return self._as_it_is(interpreter, needs, remedy="remove --no-install")
        return None

    @property
    def _cache(self) -> VenvCache:
        folder = environments_folder(self.settings.cache_dir)
        return VenvCache(folder, clock=self.host.clock, report=self.host.report, uv=find_uv())

    @property
    def _is_path(self) -> bool:
        """Whether an interpreter is given, and not just a version."""
        return self.settings.python is not None and VERSION.fullmatch(str(self.settings.python)) is None

    @property
    def _wanted_python(self) -> str:
        """The Python of the image, as in ``3.11``: the truss's word, or else truss's default."""
        name = str(self.context.config["python_version"]).removeprefix("py")
        return f"{name[:1]}.{name[1:]}"

    def _remark_on_python(self, interpreter: Interpreter) -> None:
        wanted, runs = self._wanted_python, interpreter.version
        if wanted == runs:
            return
        said = f"python_version in config.yaml is {wanted}"
        if not self.context.names_python:
            said = f"config.yaml sets no python_version, so truss uses {wanted}"
        if self.settings.python is not None:
            why = "because of --python"
        elif not self.settings.install:
            why = "because of --no-install"
        else:
            why = f"since no Python {wanted} was found {SEARCHED}: install one (uv python install {wanted}), or choose with --python"
        self.remark(f"{said}; replicas run on {runs} here, {why}")

    async def _find(self) -> Interpreter:
        modules = await asyncio.to_thread(server_imports, self.context.app_dir)
        given = self.settings.python
        if given is None and self.settings.install:
            found = await find_version(self._wanted_python, cwd=self.cwd, modules=modules)
            if found is not None:
                return found
        elif given is not None and not self._is_path:
            return await required_version(str(given), cwd=self.cwd, modules=modules)
        python = Path(sys.executable) if given is None else find_python(given)
        return await probe(python, isolated=False, cwd=self.cwd, modules=modules)

    def _needs(self, markers: Mapping[str, str]) -> Needs:
        context = self.context
        name = str(context.config.get("requirements_file") or "")
        is_pip_file = name != "" and Path(name).name not in _RESOLVED_FILES
        from_file = read_pip_file(self.truss_dir / name) if is_pip_file else context.file_requirements
        return Needs(
            own=read_lines(context.own_requirements, markers=markers),
            file=read_lines(from_file, markers=markers),
            image=brought_by_image(context.image_requirements, own=context.own_requirements, markers=markers),
            constraints=context.constraints,
            file_is_bound=is_pip_file,
        )

    def _as_it_is(self, interpreter: Interpreter, needs: Needs, *, remedy: str) -> Environment:
        """The interpreter with what it has; what only the image brings may be missing, and is told."""
        asked = list(dict.fromkeys([*interpreter.missing(needs.asked_for), *interpreter.absent]))
        if not self._is_path:
            asked += needs.unverifiable
        if asked:
            raise UnservableError(
                f"{interpreter.python} lacks {', '.join(asked)}, and --no-install forbids installing it: install "
                f"it there, or {remedy}"
            )
        if lacking := _lacks(interpreter, needs):
            self.remark(f"{interpreter.python} is used unchanged; the image differs in: {', '.join(lacking)}")
        is_current = interpreter.python == Path(sys.executable)
        return Environment(
            interpreter.python, isolated=False, adds_plugin=not is_current and self._adds_plugin(needs)
        )

    def _adds_plugin(self, needs: Needs) -> bool:
        return needs.plugin and not self.context.has_own_plugin


def _lacks(interpreter: Interpreter, needs: Needs) -> list[str]:
    lacking = interpreter.missing([*needs.asked_for, *needs.brought])
    return list(dict.fromkeys([*lacking, *interpreter.out_of_bounds(needs.constraints)]))
