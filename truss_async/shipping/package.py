"""Make a truss ready for ``truss push`` with the running version of this package inside."""

from __future__ import annotations

import importlib.metadata
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import HarnessError
from ..whole_files import write_whole
from .container_part import PACKAGE, container_part_is_current, copy_container_part
from .dependencies import (
    DISTRIBUTION,
    check_running_version,
    container_markers,
    is_own,
    own_dependencies,
    parse,
)
from .requirement_edits import UneditableError, replace_in_config, replace_in_lines
from .shortcomings import shortcomings
from .truss_source import TrussSource, read_text, read_truss

if TYPE_CHECKING:
    from .shortcomings import StoreLibraries

_DEFAULT_PYTHON: Final = "3.13"
# Written by tools, with a lock or a resolver behind them.
_RESOLVED_FILES: Final = ("pyproject.toml", "uv.lock")


@dataclass(frozen=True)
class PackageReport:
    """What packaging did, or would do when ``dry_run``. ``lacks`` is what is left to the truss's author."""

    truss_dir: Path
    copy: Path
    version: str
    dry_run: bool
    copied: bool
    requirements_file: Path
    replaced: tuple[str, ...]
    replacements: tuple[str, ...]
    lacks: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, for this command or for the author."""
        return not self.lacks and not (self.dry_run and (self.copied or self.replaced))

    def lines(self) -> list[str]:
        """The report for a person, a plain line each."""
        would = "would be " if self.dry_run else ""
        lines = [
            f"{self.copy}: {would}copied from truss_async {self.version}"
            if self.copied
            else f"{self.copy}: is truss_async {self.version}, up to date"
        ]
        if self.replaced:
            lines.append(
                f"{self.requirements_file}: {', '.join(self.replaced)} {would}replaced by what it needs, since the "
                f"copy is shipped: {', '.join(self.replacements)}"
            )
        lines += [f"still to do: {line}" for line in self.lacks]
        if not self.lacks and not self.dry_run:
            lines.append(f"ready: truss push {self.truss_dir}")
        return lines


def package_truss(
    truss_dir: Path, *, store_libraries: StoreLibraries, dry_run: bool = False
) -> PackageReport:
    """Copy the container part into the truss, and ask in its requirements for what that part imports.

    The container's pip cannot find a version of this package that is not published, so a requirement on it gives way
    to its dependencies. Doing it twice changes nothing. Raises HarnessError before anything is changed.
    """
    source = read_truss(truss_dir)
    folder = source.packages_folder
    markers = container_markers(source.python_version or _DEFAULT_PYTHON)
    edit = _plan_edit(source, markers)
    copied = not container_part_is_current(folder)
    if not dry_run:
        copy_container_part(folder)
        edit.write()
    return PackageReport(
        truss_dir=truss_dir,
        copy=folder / PACKAGE,
        version=importlib.metadata.version(DISTRIBUTION),
        dry_run=dry_run,
        copied=copied,
        requirements_file=edit.path,
        replaced=tuple(edit.substitutes),
        replacements=tuple(dict.fromkeys(new for lines in edit.substitutes.values() for new in lines)),
        lacks=tuple(
            shortcomings(
                source,
                requirements=edit.shipped,
                needed=own_dependencies((), markers),
                libraries=store_libraries,
            )
        ),
    )


@dataclass(frozen=True)
class _RequirementsEdit:
    """The change to the file that holds the requirements; ``shipped`` are those after it, None when unknown."""

    path: Path
    before: str
    after: str
    substitutes: Mapping[str, list[str]]
    shipped: list[str] | None

    def write(self) -> None:
        """Replace the file as a whole, when there is anything to change."""
        if self.after == self.before:
            return
        target = self.path.resolve()
        try:
            write_whole(target, self.after.encode(), mode=stat.S_IMODE(target.stat().st_mode))
        except OSError as error:
            raise HarnessError(f"cannot write {self.path}: {error.strerror}") from error


def _plan_edit(source: TrussSource, markers: Mapping[str, str]) -> _RequirementsEdit:
    path = source.requirements_path
    if path is None:
        substitutes = _substitutes(source.requirements, markers)
        try:
            after = replace_in_config(source.text, substitutes)
        except UneditableError:
            by_hand = "; ".join(f"{', '.join(new)} instead of {old}" for old, new in substitutes.items())
            raise HarnessError(
                f"cannot change the requirements in {source.config_path} without touching more: "
                f"edit it by hand: {by_hand}"
            ) from None
        shipped = [new for line in source.requirements for new in substitutes.get(line, [line])]
        return _RequirementsEdit(source.config_path, source.text, after, substitutes, shipped)
    before = read_text(path)
    if path.name in _RESOLVED_FILES:
        return _RequirementsEdit(path, before, before, {}, None)
    substitutes = _substitutes(
        [line.partition(" #")[0].strip() for line in before.splitlines()],
        markers,
    )
    after = replace_in_lines(before, substitutes)
    return _RequirementsEdit(path, before, after, substitutes, after.splitlines())


def _substitutes(lines: list[str], markers: Mapping[str, str]) -> dict[str, list[str]]:
    """For each of the requirement lines that names this package, the dependencies it stands for."""
    found: dict[str, list[str]] = {}
    for line in lines:
        requirement = parse(line)
        if requirement is not None and is_own(requirement):
            check_running_version(requirement)
            found[line] = [str(each) for each in own_dependencies(sorted(requirement.extras), markers)]
    return found
