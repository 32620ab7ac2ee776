"""A chain as truss understood it: read from the trusses that truss has made of its file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import HarnessError, explained
from ..settings import split_chain

CHAINLET_PREFIX: Final = "chainlet_"
"""Truss puts it before the class name, for the folder of a chainlet's truss."""


@dataclass(frozen=True)
class ChainSource:
    """The file of a chain, and the class of its entry point, if the file does not mark one."""

    file: Path
    entry_point: str | None = None

    @classmethod
    def parse(cls, text: str) -> ChainSource:
        """What ``my_chain.py`` or ``my_chain.py:EntryPoint`` means.

        Raises:
            HarnessError: it is neither, or there is no such file.
        """
        found = split_chain(text)
        if found is None:
            raise HarnessError(
                f"{text} is not a chain; give a Python file, followed by a colon and the entry point class if the file marks none"
            )
        source = cls(*found)
        if not source.file.is_file():
            raise HarnessError(f"{source.file} does not exist; give the Python file of a chain")
        return source

    @property
    def folder(self) -> Path:
        """What truss takes for the chain's own: all that lies beside the file, and below."""
        return self.file.absolute().parent


class _Service(BaseModel):
    model_config = ConfigDict(frozen=True)

    display_name: str


class _ChainsMetadata(BaseModel):
    model_config = ConfigDict(frozen=True)

    chainlet_to_service: dict[str, _Service]


class _ModelMetadata(BaseModel):
    model_config = ConfigDict(frozen=True)

    chains_metadata: _ChainsMetadata | None = None


class _Config(BaseModel):
    """What a chainlet's config.yaml says of the chain."""

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    model_metadata: _ModelMetadata | None = Field(default_factory=_ModelMetadata)

    @property
    def is_generated(self) -> bool:
        """Whether truss wrote it, for a class of the chain."""
        return self.model_metadata is not None and self.model_metadata.chains_metadata is not None

    @property
    def services(self) -> Mapping[str, str]:
        """By the classes of the chainlets that it calls, the names that they are displayed under."""
        metadata = self.model_metadata and self.model_metadata.chains_metadata
        return {
            name: each.display_name
            for name, each in (metadata.chainlet_to_service if metadata else {}).items()
        }


@dataclass(frozen=True)
class Chainlet:
    """One model of a chain. ``calls`` are the class names of those that it depends on.

    ``is_generated``: it was made of a class in the chain's files, which are its packages; else it is a truss that the chain includes.
    """

    name: str
    display_name: str
    truss_dir: Path
    calls: tuple[str, ...]
    is_generated: bool = True


@dataclass(frozen=True)
class Chain:
    """A chain, and the truss of each of its chainlets, the entry point first."""

    name: str
    source: ChainSource
    entry_point: Chainlet
    others: tuple[Chainlet, ...]

    @property
    def chainlets(self) -> tuple[Chainlet, ...]:
        """All of them, the entry point first."""
        return (self.entry_point, *self.others)

    @property
    def id(self) -> str:
        """Its name in lower case, with underscores for what an id cannot hold."""
        return re.sub(r"[^a-z0-9]+", "_", self.name.lower()).strip("_") or "chain"


def read_chain(folder: Path, source: ChainSource) -> Chain:
    """The chain whose trusses lie in a folder of its name.

    Raises:
        HarnessError: this is not what truss makes of a chain.
    """
    configs = {
        path.name.removeprefix(CHAINLET_PREFIX): (path, _read_config(path / "config.yaml"))
        for path in sorted(folder.glob(f"{CHAINLET_PREFIX}*"))
    }
    display_names = {name: shown for _, config in configs.values() for name, shown in config.services.items()}
    chainlets = {
        name: Chainlet(name, display_names.get(name, name), path, tuple(config.services), config.is_generated)
        for name, (path, config) in configs.items()
    }
    entry_points = [each for each in chainlets.values() if each.name not in display_names]
    if len(entry_points) != 1 or not display_names.keys() <= chainlets.keys():
        raise HarnessError(
            f"truss made of {source.file} what is no chain: {', '.join(chainlets) or 'no chainlet'}; "
            "one chainlet must be the one that no other depends on"
        )
    others = tuple(each for each in chainlets.values() if each is not entry_points[0])
    return Chain(folder.name, source, entry_points[0], others)


def _read_config(path: Path) -> _Config:
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return _Config.model_validate(content)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = explained(error) if isinstance(error, ValidationError) else error
        raise HarnessError(f"cannot read {path}, which truss has made: {reason}") from error
