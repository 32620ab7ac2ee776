"""Virtual environments for trusses, made once for each set of requirements and kept."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import hashlib
import json
import os
import re
import shutil
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import platformdirs

from ..errors import HarnessError, SettingsError
from ..own_folders import own_folder
from .installers import pip_installer, python_of, unknown_package, uv_installer
from .protocol import UnservableError
from .subprocesses import run

if TYPE_CHECKING:
    from ..clock import Clock
    from .installers import Installer
    from .interpreter import Interpreter
    from .requirements import InstallStep, Needs

RECIPE: Final = 2
"""Raised when environments of an older version of this module are no longer good enough."""
LOCK_SUFFIX: Final = ".lock"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=$|[\s<>=!~;\[(])")
_KEY_MARKERS: Final = ("python_full_version", "implementation_name", "platform_machine", "sys_platform")
_BIG_DOWNLOAD: Final = re.compile(r"\s*Downloading .*\b[MG]i?B\)")


def environments_folder(cache_dir: Path | None) -> Path:
    """Where environments are kept: in that folder, or else in the user's cache."""
    return (cache_dir or platformdirs.user_cache_path("truss-async")).absolute() / "environments"


class UnknownPackageError(UnservableError):
    """A requirement that no index has: another installer does not find it either."""


@dataclass(frozen=True)
class _Attempt:
    """``is_loose``: of what the image brings, the constraints alone decide the versions."""

    installer: Installer
    steps: Sequence[InstallStep]
    is_loose: bool = False


class VenvCache:
    """Environments in one folder, shared by all harnesses of a user.

    An environment counts once its marker file is there: one whose making was interrupted is made anew. It is made by
    ``uv``; where that is None, or fails, by pip.
    """

    def __init__(
        self, folder: Path, *, clock: Clock, report: Callable[[str], None], uv: Path | None = None
    ) -> None:
        self._folder = folder
        self._uv = uv
        self._clock = clock
        self._report = report

    def kept(self, needs: Needs, *, base: Interpreter) -> Path | None:
        """The interpreter of an environment that meets the needs, if there is one."""
        venv = self._folder / _key(needs.steps(), base)
        return python_of(venv) if is_complete(venv) else None

    async def ensure(self, needs: Needs, *, base: Interpreter) -> Path:
        """Return the interpreter of an environment made from ``base`` that meets the needs; make it when there is none."""
        key = _key(needs.steps(), base)
        venv = self._folder / key
        try:
            await asyncio.to_thread(own_folder, self._folder, what="the folder of environments")
            async with self._alone(key) as lock_fd:
                if not is_complete(venv):
                    await self._make(venv, needs, base, lock_fd)
        except OSError as error:
            raise UnservableError(
                f"cannot create an environment in {self._folder}: {error.strerror}; choose another with --cache-dir"
            ) from error
        except SettingsError as error:
            raise UnservableError(f"{error}, with --cache-dir") from error
        return python_of(venv)

    @contextlib.asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[int]:
        with (self._folder / f"{key}{LOCK_SUFFIX}").open("w") as lock:
            os.utime(lock.fileno())  # when it was used last
            waiting = False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waiting:
                        self._report("waiting for another process to finish installing this environment")
                    waiting = True
                    await self._clock.sleep(0.2)
            yield lock.fileno()

    async def _make(self, venv: Path, needs: Needs, base: Interpreter, lock_fd: int) -> None:
        began = self._clock.monotonic()
        lines = (line for step in needs.steps() for line in step.lines)
        names = [found[0] for line in lines if (found := _NAME.match(line))]  # a URL may hold a password
        how = "" if self._uv is not None else " with pip (uv is faster: pip install uv)"
        self._report(
            f"installing the requirements of the truss{how}, which may take minutes the first time: {', '.join(names)}"
        )
        *attempts, last = await self._attempts(venv, needs, base)
        for attempt in attempts:
            if await self._succeeds(attempt, venv, lock_fd):
                break
            if attempt is not attempts[-1]:
                self._report("the exact versions of the image cannot be installed; trying others")
        else:
            self._report(
                "pip could not install them; trying once more, with other versions"
                if self._uv is None
                else "uv could not install them; trying pip"
            )
            attempt = last
            await self._fill(venv, last, lock_fd, tell=True)
        if attempt.is_loose:
            self._report(
                f"some packages of the image are not available for Python {base.version}; versions were chosen "
                "by truss's constraints"
            )
        (venv / ".complete").touch()
        seconds = self._clock.monotonic() - began
        self._report(f"installed in {seconds:.0f} s, kept in {venv}")

    async def _attempts(self, venv: Path, needs: Needs, base: Interpreter) -> list[_Attempt]:
        exact, loose = needs.steps(), needs.steps(loosely=True)
        pip = pip_installer(venv, base=base.python)
        last = _Attempt(pip, needs.steps(loosely=True, build_all=True), is_loose=True)
        if self._uv is None:
            return [_Attempt(pip, exact), last]
        uv = await uv_installer(self._uv, venv, base=base.python)
        return [_Attempt(uv, exact), _Attempt(uv, loose, is_loose=True), last]

    async def _succeeds(self, attempt: _Attempt, venv: Path, lock_fd: int) -> bool:
        try:
            await self._fill(venv, attempt, lock_fd, tell=False)
        except UnknownPackageError:
            raise  # whoever installs, there is nothing to install
        except (HarnessError, OSError):  # it cannot even be started
            return False
        return True

    async def _fill(self, venv: Path, attempt: _Attempt, lock_fd: int, *, tell: bool) -> None:
        installer = attempt.installer
        await asyncio.to_thread(_remove, venv)
        run_step = functools.partial(
            self._step, environment=installer.environment, lock_fd=lock_fd, tell=tell
        )
        await run_step(installer.make, failure="cannot make a virtual environment")
        for number, step in enumerate(attempt.steps, start=1):
            requirements_file, constraints_file = (
                venv / f"requirements-{number}.txt",
                venv / f"constraints-{number}.txt",
            )
            requirements_file.write_text("".join(f"{line}\n" for line in step.lines), encoding="utf-8")
            constraints_file.write_text(step.constraints, encoding="utf-8")
            wheels = [word for name in step.never_built for word in ("--only-binary", name)]
            await run_step(
                (*installer.fill, *wheels, "-r", requirements_file, "-c", constraints_file),
                failure="cannot install the requirements of the truss; fix requirements in config.yaml, or check the package index",
            )

    async def _step(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        lock_fd: int,
        failure: str,
        tell: bool,
    ) -> None:
        last: deque[str] = deque(maxlen=12)

        def show(line: str) -> None:
            last.append(line)
            if line.startswith("Installing collected") or _BIG_DOWNLOAD.fullmatch(line):
                self._report(line.strip())

        # The steps hold the lock too: one that outlives a killed harness still has the folder to itself.
        status = await run(command, env=environment, cwd=self._folder, on_line=show, keep_open=(lock_fd,))
        if status != 0:
            for line in last if tell else ():
                self._report(f"  {line}")
            if (name := unknown_package(last)) is not None:
                raise UnknownPackageError(
                    f"{name} was not found in any package index; correct its name in the requirements, or add "
                    "its index in UV_INDEX or pip's configuration"
                )
            errors = [line for line in last if line.startswith("ERROR:")]
            raise UnservableError(f"{failure}: {(errors or list(last) or [f'status {status}'])[-1]}")


def _key(steps: Sequence[InstallStep], base: Interpreter) -> str:
    markers = {name: base.markers[name] for name in _KEY_MARKERS}
    installs = [asdict(step) for step in steps]
    facts = json.dumps([RECIPE, base.base_prefix, markers, installs], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def _remove(venv: Path) -> None:
    if venv.exists():
        shutil.rmtree(venv)


def is_complete(venv: Path) -> bool:
    """Whether it was made to the end, and its Python is still there."""
    # The link to a Python that was removed since does not exist either.
    return (venv / ".complete").exists() and python_of(venv).exists()
