"""A Python interpreter that may run replicas: what is installed in it, and what it lacks."""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .inherited import inherited_environment
from .protocol import UnservableError
from .subprocesses import run

_PROBE: Final = Path(__file__).with_name("interpreter_probe.py")
_OF_THE_HARNESS: Final = ("VIRTUAL_ENV", "VIRTUAL_ENV_PROMPT", "PYTHONHOME", "__PYVENV_LAUNCHER__")


@dataclass(frozen=True)
class Distribution:
    version: str
    requires: tuple[str, ...]


@dataclass(frozen=True)
class Interpreter:
    """``absent`` are those of the modules asked about that it cannot import."""

    python: Path
    markers: Mapping[str, str]
    installed: Mapping[str, Distribution]
    base_prefix: str = ""
    absent: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Such as ``3.11``."""
        return self.markers["python_version"]

    def missing(self, requirements: Iterable[Requirement]) -> list[str]:
        """What is not installed as required, each with what is there instead."""
        found: dict[str, None] = {}
        for requirement in requirements:
            if requirement.marker is None or requirement.marker.evaluate({**self.markers, "extra": ""}):
                found.update(dict.fromkeys(self._lacks(requirement, seen=set())))
        return list(found)

    def out_of_bounds(self, constraints: str) -> list[str]:
        """What is installed in a version that these constraints, the text of a file of pip's, do not allow."""
        bounds = [
            Requirement(line) for raw in constraints.splitlines() if (line := raw.partition("#")[0].strip())
        ]
        return self.missing([bound for bound in bounds if canonicalize_name(bound.name) in self.installed])

    def _lacks(self, requirement: Requirement, *, seen: set[str]) -> Iterator[str]:
        if str(requirement) in seen:
            return
        seen.add(str(requirement))
        wanted = str(requirement).partition(";")[0].strip()
        distribution = self.installed.get(canonicalize_name(requirement.name))
        if distribution is None:
            yield wanted
        elif requirement.url is not None:
            yield wanted  # whether it came from there cannot be told
        elif not requirement.specifier.contains(distribution.version, prereleases=True):
            yield f"{wanted} (not {distribution.version})"
        else:
            # pip saw to its plain dependencies, but perhaps not to those of the extras.
            for line in distribution.requires if requirement.extras else ():
                dependency = Requirement(line)
                if self._comes_with(requirement.extras, dependency):
                    yield from self._lacks(dependency, seen=seen)

    def _comes_with(self, extras: Iterable[str], dependency: Requirement) -> bool:
        marker = dependency.marker
        if marker is None or marker.evaluate({**self.markers, "extra": ""}):
            return False
        return any(marker.evaluate({**self.markers, "extra": extra}) for extra in extras)


async def probe(
    python: Path, *, isolated: bool, cwd: Path, modules: Sequence[str] = (), resolve: bool = False
) -> Interpreter:
    """Ask an interpreter about itself, and about those modules; raise HarnessError when it cannot answer.

    ``resolve``: it is known by the file that runs, and not by a script that chooses it, such as pyenv's.
    """
    output: deque[str] = deque(maxlen=20)
    command: list[str | Path] = [python, "-c", _PROBE.read_text(encoding="utf-8"), *modules]
    try:
        environment = {**process_environment(python, isolated=isolated), "PYTHONWARNINGS": "ignore"}
        status = await run(command, env=environment, cwd=cwd, on_line=output.append)
    except OSError as error:
        raise UnservableError(f"cannot run {python}: {error.strerror}; give a Python interpreter") from error
    try:
        answer = json.loads(output[-1])
        installed: dict[str, Distribution] = {
            canonicalize_name(name): Distribution(facts["version"], tuple(facts["requires"]))
            for name, facts in answer["installed"].items()
        }
        return Interpreter(
            Path(answer["executable"]) if resolve else python,
            answer["markers"],
            installed,
            answer["base_prefix"],
            tuple(answer["absent"]),
        )
    except (IndexError, ValueError, TypeError, KeyError):
        reason = output[-1] if output else f"status {status}"
        raise UnservableError(f"{python} is not a Python interpreter: {reason}") from None


def process_environment(python: Path, *, isolated: bool) -> dict[str, str]:
    """The harness's environment without the traces of its own virtual environment.

    ``isolated``: modules that PYTHONPATH names stay outside, as in a fresh image.
    """
    environment = {key: value for key, value in inherited_environment().items() if key not in _OF_THE_HARNESS}
    if isolated:
        environment.pop("PYTHONPATH", None)
    search_path = environment.get("PATH", os.defpath).split(os.pathsep)
    if own := os.environ.get("VIRTUAL_ENV"):
        search_path = [entry for entry in search_path if Path(entry) != Path(own, "bin")]
    # The scripts of the truss's requirements are found, as in the image.
    environment["PATH"] = os.pathsep.join([str(python.parent), *search_path])
    return environment


def find_python(name: Path) -> Path:
    """The interpreter meant by a path or a bare name such as ``python3.12``. Symbolic links are kept."""
    if name.parent == Path() and (found := shutil.which(str(name))):
        return Path(found)
    return name.expanduser().absolute()
