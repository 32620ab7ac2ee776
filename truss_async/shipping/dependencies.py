"""What the running version of this package depends on, wherever it comes to run."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from typing import Final

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ..errors import HarnessError

DISTRIBUTION: Final = "truss-async"


def container_markers(python_version: str) -> dict[str, str]:
    """The environment markers of a model container with that Python, such as ``3.11``."""
    here = {name: str(value) for name, value in default_environment().items()}
    linux = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}
    return {**here, **linux, "python_version": python_version, "python_full_version": f"{python_version}.0"}


def own_dependencies(extras: Iterable[str], markers: Mapping[str, str]) -> list[Requirement]:
    """This package's dependencies with these extras, in the order declared, for those markers."""
    declared = [Requirement(line) for line in importlib.metadata.requires(DISTRIBUTION) or ()]
    found: dict[str, Requirement] = {}
    pending, seen = ["", *extras], set[str]()
    while pending:
        extra = pending.pop(0)
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in declared:
            marker = requirement.marker
            if marker is not None and not marker.evaluate({**markers, "extra": extra}):
                continue
            if is_own(requirement):
                pending += sorted(requirement.extras)
            else:
                plain = Requirement(str(requirement).partition(";")[0])
                found[str(plain)] = plain
    return list(found.values())


def check_running_version(requirement: Requirement) -> None:
    """Refuse a requirement on this package that the running version does not meet."""
    running = Version(importlib.metadata.version(DISTRIBUTION))
    # A development version stands for the release it leads to.
    candidates = (str(running), running.base_version)
    if not any(requirement.specifier.contains(candidate, prereleases=True) for candidate in candidates):
        raise HarnessError(
            f"the truss requires {requirement}, but {DISTRIBUTION} {running} is installed; change the "
            "requirement, or install that version"
        )
    known = set(importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra", []))
    if unknown := sorted(requirement.extras - known):
        raise HarnessError(
            f"the truss requires {requirement}, but {DISTRIBUTION} has no extra {unknown[0]}; "
            f"it has {', '.join(sorted(known))}"
        )


def parse(line: str) -> Requirement | None:
    """A requirement line without its comment; None when only pip understands it."""
    try:
        return Requirement(line.partition(" #")[0].strip())
    except InvalidRequirement:
        return None


def is_own(requirement: Requirement) -> bool:
    """Whether it names this package."""
    return canonicalize_name(requirement.name) == DISTRIBUTION
