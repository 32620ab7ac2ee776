"""What has to be installed for a replica: what its image brings, the truss's own requirements, and those of the plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from ..errors import HarnessError
from ..shipping.dependencies import check_running_version, is_own, own_dependencies
from ..text_files import read_text


@dataclass
class Lines:
    """Requirement lines: ``packages`` can be checked against an environment, ``opaque`` ones only pip understands."""

    packages: list[Requirement] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    plugin: bool = False

    @property
    def unverifiable(self) -> list[str]:
        """Things to install whose presence cannot be told: URLs, paths. Options of pip are not among them."""
        return [line for line in self.opaque if not line.startswith("-") or line.startswith("-e")]

    def texts(self) -> list[str]:
        return [*self.opaque, *(str(package) for package in self.packages)]


@dataclass(frozen=True)
class InstallStep:
    """Lines that are installed together, what bounds their versions, and the packages that may not be built here."""

    lines: tuple[str, ...]
    constraints: str = ""
    never_built: tuple[str, ...] = ()


@dataclass(frozen=True)
class Needs:
    """What a replica has to have: ``file`` and ``own`` are the truss's word, ``image`` is what its image brings besides."""

    own: Lines = field(default_factory=Lines)
    file: Lines = field(default_factory=Lines)
    image: Lines = field(default_factory=Lines)
    constraints: str = ""
    file_is_bound: bool = True
    """Whether the constraints hold for the file too, which those of a pyproject.toml do not."""

    @property
    def asked_for(self) -> list[Requirement]:
        """What the truss itself asks for."""
        return [*self.own.packages, *self.file.packages]

    @property
    def brought(self) -> list[Requirement]:
        """What the image brings besides."""
        return self.image.packages

    @property
    def unverifiable(self) -> list[str]:
        return [*self.own.unverifiable, *self.file.unverifiable]

    @property
    def plugin(self) -> bool:
        """Whether the truss asks for this package."""
        return self.own.plugin or self.file.plugin

    def with_plugin(self, markers: Mapping[str, str]) -> Needs:
        """The same, as if the truss asked for this package, too."""
        own = Lines([*self.own.packages, *own_dependencies((), markers)], self.own.opaque, plugin=True)
        return replace(self, own=own)

    def steps(self, *, loosely: bool = False, build_all: bool = False) -> tuple[InstallStep, ...]:
        """The installs of the image, in its order: a later one may change what an earlier one chose.

        What the image brings is not built here, which may take half an hour, unless ``build_all``. ``loosely``, of it
        the constraints alone decide the versions: there may be no wheel of the one in the image for a newer Python.
        """
        image = Lines([Requirement(each.name) for each in self.brought]) if loosely else self.image
        never_built = () if build_all else tuple(sorted(each.name for each in self.brought))
        steps = (
            InstallStep(_sorted(self.file), self.constraints if self.file_is_bound else ""),
            InstallStep(_sorted(self.own, image), self.constraints, never_built),
        )
        return tuple(step for step in steps if step.lines)


def read_lines(lines: Iterable[str], *, markers: Mapping[str, str]) -> Lines:
    """Parse requirement lines for an interpreter with these markers.

    A requirement on this package itself stands for the running version: its dependencies are
    needed, it is not. Raises HarnessError when the running version is not what is asked for.
    """
    found = Lines()
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            found.opaque.append(line)
            continue
        if is_own(requirement):
            check_running_version(requirement)
            found.plugin = True
            found.packages += own_dependencies(sorted(requirement.extras), markers)
        else:
            found.packages.append(requirement)
    return found


def brought_by_image(lines: Iterable[str], *, own: Iterable[str], markers: Mapping[str, str]) -> Lines:
    """What the lines of a build context's requirements.txt hold besides the truss's own.

    Options are left out: the platform's package index is not the one that is used here.
    """
    known = {line.strip() for line in own}
    plain = [re.sub(r"(^|\s)#.*$", "", line).strip() for line in lines if line.strip() not in known]
    return read_lines([line for line in plain if line and not line.startswith("-")], markers=markers)


def _sorted(*parts: Lines) -> tuple[str, ...]:
    return tuple(sorted(text for part in parts for text in part.texts()))


def read_pip_file(path: Path, *, including: tuple[Path, ...] = ()) -> list[str]:
    """The lines of a requirements file, files that it includes among them, relative paths made absolute."""
    path = path.resolve()
    if path in including:
        raise HarnessError(f"the requirements file {path} includes itself; remove its -r line")
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"cannot read the requirements file {path}: {error}") from error
    return list(_pip_lines(text.replace("\\\n", " "), path.parent, (*including, path)))


def _pip_lines(text: str, folder: Path, including: tuple[Path, ...]) -> Iterator[str]:
    for raw in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", raw)
        line = re.sub(r"\s--hash[= ]\S+", "", line).strip()
        option = re.fullmatch(r"(-r|--requirement|-c|--constraint|-e|--editable)[\s=]+(\S.*)", line)
        if option is None:
            if line:
                yield str((folder / line).resolve()) if line.startswith(".") else line
        elif option[1] in ("-r", "--requirement"):
            yield from read_pip_file(folder / option[2], including=including)
        else:
            target = option[2] if "://" in option[2] else str((folder / option[2]).resolve())
            yield f"{option[1]} {target}"
