"""Make a chain ready for ``truss chains push`` with the running version of this package inside."""

from __future__ import annotations

import asyncio
import importlib.metadata
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import HarnessError
from ...shipping.container_part import PACKAGE, container_part_is_current, copy_container_part
from ...shipping.dependencies import DISTRIBUTION, check_running_version, is_own, own_dependencies, parse
from ...shipping.ignored import ignored
from ...shipping.python_edits import replace_in_python, strings
from ...shipping.requirement_edits import replace_in_lines
from ...text_files import read_text
from ...whole_files import write_whole
from .generation import generate_chain
from .shipped import ShippedChainlet, markers_of, shipped_chainlets

if TYPE_CHECKING:
    from ...shipping.shortcomings import StoreLibraries
    from .chain import ChainSource

_DEPTH: Final = 8
"""Folders below the chain's in which its files are looked for."""


@dataclass(frozen=True)
class ChainPackageReport:
    """What packaging did, or would do when ``dry_run``. ``lacks`` is what is left to the chain's author."""

    chain_file: Path
    copy: Path
    version: str
    dry_run: bool
    copied: bool
    changed: tuple[Path, ...]
    replaced: Mapping[str, Sequence[str]]
    lacks: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, for this command or for the author."""
        return not self.lacks and not (self.dry_run and (self.copied or self.changed))

    def lines(self) -> list[str]:
        """The report for a person, a plain line each."""
        would = "would be " if self.dry_run else ""
        copied = f"{would}copied from" if self.copied else "is up to date:"
        lines = [f"{self.copy}: {copied} {PACKAGE} {self.version}"]
        for file in self.changed:
            new = ", ".join(dict.fromkeys(each for lines in self.replaced.values() for each in lines))
            lines.append(
                f"{file}: {', '.join(self.replaced)} {would}replaced by what it needs, since the copy is shipped: {new}"
            )
        lines += [f"still to do: {line}" for line in self.lacks]
        if not self.lacks and not self.dry_run:
            lines.append(f"ready: truss chains push {self.chain_file}")
        return lines


def package_chain(
    source: ChainSource, *, store_libraries: StoreLibraries, dry_run: bool = False
) -> ChainPackageReport:
    """Copy the container part beside the chain's file, which is where truss ships it from, and ask for what that part imports.

    As truss itself sees the chain: it generates it first. Doing it twice changes nothing.

    Raises:
        HarnessError: truss does not accept the chain, or its requirements can only be changed by hand; nothing was changed then.
    """
    with tempfile.TemporaryDirectory(prefix=f"{DISTRIBUTION}-") as scratch:
        chain = asyncio.run(generate_chain(source, into=Path(scratch)))
        chainlets = shipped_chainlets(chain)
    replaced = _substitutes(chainlets)
    edits = plan_edits(source, replaced)
    copied = not container_part_is_current(source.folder)
    if not dry_run:
        copy_container_part(source.folder)
        for path, text in edits.items():
            _write(path, text)
    return ChainPackageReport(
        chain_file=source.file,
        copy=source.folder / PACKAGE,
        version=importlib.metadata.version(DISTRIBUTION),
        dry_run=dry_run,
        copied=copied,
        changed=tuple(edits),
        replaced=replaced,
        lacks=tuple(_shortcomings(source, chainlets, replaced, store_libraries)),
    )


def _substitutes(chainlets: Sequence[ShippedChainlet]) -> dict[str, list[str]]:
    """For each line of the chainlets' requirements that names this package, the dependencies it stands for."""
    found: dict[str, list[str]] = {}
    for each in chainlets:
        for line in each.requirements:
            requirement = parse(line)
            if requirement is not None and is_own(requirement):
                check_running_version(requirement)
                dependencies = own_dependencies(sorted(requirement.extras), markers_of(each))
                found[line] = [str(dependency) for dependency in dependencies]
    return found


def plan_edits(source: ChainSource, substitutes: Mapping[str, list[str]]) -> dict[Path, str]:
    """The new text of each file in which one of these requirements stands."""
    edits: dict[Path, str] = {}
    places: set[str] = set()
    for path in _files(source.folder) if substitutes else ():
        text = read_text(path)
        edited = _edited(path, text, substitutes)
        if edited != text:
            edits[path] = edited
            places |= {line for line in substitutes if line in text}
    if left := [line for line in substitutes if line not in places]:
        by_hand = "; ".join(f"{', '.join(substitutes[line])} instead of {line}" for line in left)
        raise HarnessError(
            f"cannot find where the chain of {source.file} requires {', '.join(left)}: edit it by hand: {by_hand}"
        )
    return edits


def _edited(path: Path, text: str, substitutes: Mapping[str, list[str]]) -> str:
    try:
        return (
            replace_in_python(text, substitutes)
            if path.suffix == ".py"
            else replace_in_lines(text, substitutes)
        )
    except (SyntaxError, ValueError):
        return text  # truss imports the chain, and no such file


def _files(folder: Path) -> Iterator[Path]:
    """The Python files of the chain, and the text files that they name."""
    found = [
        path.relative_to(folder)
        for pattern in (f"{'*/' * depth}*.py" for depth in range(_DEPTH))
        for path in folder.glob(pattern)
        if PACKAGE not in path.relative_to(folder).parts and path.is_file()
    ]
    left_out = set(ignored(folder, found)[1])
    for name in found:
        if name.as_posix() in left_out:
            continue
        path = folder / name
        yield path
        for named in sorted(strings(read_text(path))):
            if named.endswith(".txt") and "\n" not in named and (path.parent / named).is_file():
                yield path.parent / named


def _shortcomings(
    source: ChainSource,
    chainlets: Sequence[ShippedChainlet],
    substitutes: Mapping[str, list[str]],
    libraries: StoreLibraries,
) -> Iterator[str]:
    if not any(each.saves for each in chainlets):
        yield f"no chainlet of {source.file} saves its output: put @save_output above its run_remote"
    for each in chainlets:
        yield from each.shortcomings(substitutes, libraries)


def _write(path: Path, text: str) -> None:
    target = path.resolve()
    try:
        write_whole(target, text.encode(), mode=stat.S_IMODE(target.stat().st_mode))
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}") from error
