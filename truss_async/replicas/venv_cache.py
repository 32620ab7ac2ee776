"""Virtual environments for trusses, made once for each set of requirements and kept."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import re
import shutil
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import HarnessError
from .interpreter import process_environment
from .subprocesses import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from ..clock import Clock
    from .interpreter import Interpreter
    from .requirements import Needs

__all__ = ["VenvCache"]

RECIPE: Final = 1
"""Raised when environments of an older version of this module are no longer good enough."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=$|[\s<>=!~;\[(])")
_KEY_MARKERS: Final = ("python_full_version", "implementation_name", "platform_machine", "sys_platform")
_PIP_OPTIONS: Final = ("--no-input", "--disable-pip-version-check", "--no-compile", "--progress-bar", "off")


class VenvCache:
    """Environments in one folder, shared by all harnesses of a user.

    An environment counts once its marker file is there: one whose making was interrupted is made anew.
    """

    def __init__(self, folder: Path, *, clock: Clock, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._clock = clock
        self._report = report

    async def ensure(self, needs: Needs, *, constraints: str, base: Interpreter) -> Path:
        """Return the interpreter of an environment that meets the needs; make it when there is none."""
        lines = sorted(needs.lines())
        key = _key(lines, constraints, base)
        venv = self._folder / key
        try:
            await asyncio.to_thread(self._folder.mkdir, parents=True, exist_ok=True)
            async with self._alone(key) as lock_fd:
                if not _is_complete(venv):
                    await self._make(venv, lines, constraints, lock_fd)
        except OSError as error:
            raise HarnessError(
                f"cannot keep an environment in {self._folder}: {error.strerror}; choose another with --cache-dir"
            ) from error
        return _python_of(venv)

    @contextlib.asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[int]:
        with (self._folder / f"{key}.lock").open("w") as lock:
            waiting = False
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not waiting:
                        self._report("waiting for the environment that is being installed already")
                    waiting = True
                    await self._clock.sleep(0.2)
            yield lock.fileno()

    async def _make(self, venv: Path, lines: Sequence[str], constraints: str, lock_fd: int) -> None:
        began = self._clock.now()
        names = [found[0] for line in lines if (found := _NAME.match(line))]  # a URL may hold a password
        self._report(f"installing what the truss requires, once; this may take minutes: {', '.join(names)}")
        await asyncio.to_thread(_remove, venv)
        await self._step(
            [sys.executable, "-m", "venv", venv], lock_fd, failure="cannot make a virtual environment"
        )
        requirements_file, constraints_file = venv / "requirements.txt", venv / "constraints.txt"
        requirements_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        constraints_file.write_text(constraints, encoding="utf-8")
        pip: list[str | Path] = [_python_of(venv), "-m", "pip", "install", *_PIP_OPTIONS]
        await self._step(
            [*pip, "-r", requirements_file, "-c", constraints_file],
            lock_fd,
            failure="cannot install what the truss requires; mend requirements in config.yaml, or see to the package index",
        )
        (venv / ".complete").touch()
        seconds = (self._clock.now() - began).total_seconds()
        self._report(f"installed in {seconds:.0f} s, kept in {venv}")

    async def _step(self, command: Sequence[str | Path], lock_fd: int, *, failure: str) -> None:
        last: deque[str] = deque(maxlen=12)

        def show(line: str) -> None:
            last.append(line)
            # Big downloads are what takes long; pip writes their size in MB.
            if line.startswith("Installing collected") or (
                line.strip().startswith("Downloading") and " MB)" in line
            ):
                self._report(line.strip())

        # The steps hold the lock too: one that outlives a killed harness still has the folder to itself.
        status = await run(
            command,
            env=process_environment(_python_of(self._folder), isolated=True),
            cwd=self._folder,
            on_line=show,
            keep_open=(lock_fd,),
        )
        if status != 0:
            for line in last:
                self._report(f"  {line}")
            errors = [line for line in last if line.startswith("ERROR:")]
            raise HarnessError(f"{failure}: {(errors or list(last) or [f'status {status}'])[-1]}")


def _key(lines: Sequence[str], constraints: str, base: Interpreter) -> str:
    markers = {name: base.markers[name] for name in _KEY_MARKERS}
    facts = json.dumps([RECIPE, sys.base_prefix, markers, lines, constraints], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()[:20]


def _remove(venv: Path) -> None:
    if venv.exists():
        shutil.rmtree(venv)


def _python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def _is_complete(venv: Path) -> bool:
    # The link to a Python that was removed since does not exist either.
    return (venv / ".complete").exists() and _python_of(venv).exists()
