"""What has to be installed for a replica: the server's needs, the truss's own, and those of the plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from ..errors import HarnessError
from ..shipping.dependencies import check_running_version, is_own, own_dependencies
from ..text_files import read_text

_SERVER_PACKAGES: Final = frozenset(
    {
        "aiofiles",
        "fastapi",
        "msgpack",
        "msgpack-numpy",
        "opentelemetry-exporter-otlp",
        "opentelemetry-sdk",
        "prometheus-client",
        "python-json-logger",
        "pyyaml",
        "uvicorn",
        "uvloop",
    }
)
"""What the Truss server imports; the bounds are those of this package's extra ``harness``."""


@dataclass
class Needs:
    """``packages`` can be checked against an environment, ``opaque`` lines only pip understands."""

    packages: list[Requirement] = field(default_factory=list)
    opaque: list[str] = field(default_factory=list)
    plugin: bool = False

    @property
    def unverifiable(self) -> list[str]:
        """Things to install whose presence cannot be told: URLs, paths. Options of pip are not among them."""
        return [line for line in self.opaque if not line.startswith("-") or line.startswith("-e")]

    def lines(self) -> list[str]:
        return [*self.opaque, *(str(package) for package in self.packages)]


def collect_needs(lines: Iterable[str], *, markers: Mapping[str, str]) -> Needs:
    """Add up everything a replica of a truss with these requirement lines imports.

    A requirement on this package itself stands for the running version: its dependencies are
    needed, it is not. Raises HarnessError when the running version is not what is asked for.
    """
    needs = Needs()
    for line in lines:
        try:
            requirement = Requirement(line)
        except InvalidRequirement:
            needs.opaque.append(line)
            continue
        if is_own(requirement):
            check_running_version(requirement)
            needs.plugin = True
            needs.packages += own_dependencies(sorted(requirement.extras), markers)
        else:
            needs.packages.append(requirement)
    # As truss does: what the truss asks for itself goes before what the server would take.
    chosen = {canonicalize_name(package.name) for package in needs.packages}
    for requirement in own_dependencies(["harness"], markers):
        name = canonicalize_name(requirement.name)
        if name in _SERVER_PACKAGES and name not in chosen:
            needs.packages.append(requirement)
    return needs


def read_pip_file(path: Path, *, including: tuple[Path, ...] = ()) -> list[str]:
    """The lines of a requirements file, files that it includes among them, relative paths made absolute."""
    path = path.resolve()
    if path in including:
        raise HarnessError(f"the requirements file {path} includes itself: take its -r line out")
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
