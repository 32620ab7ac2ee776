"""Where a batch reads and writes, looked at before it begins: what could not be written in the end is refused at once."""

from __future__ import annotations

import os
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ...errors import SettingsError
from .input_file import STANDARD_INPUT

if TYPE_CHECKING:
    from .settings import BatchFiles, BatchSettings

_READ_ONLY: Final = ("http", "https")


def check_locations(settings: BatchSettings, files: BatchFiles) -> None:
    """Refuse two files that are one, and what cannot be a file to write.

    Raises:
        SettingsError: it names the option, and the file.
    """
    written = {"--out": settings.out, "--errors": files.errors, "--ledger": str(files.ledger)}
    for (option, location), (other, elsewhere) in combinations(
        {"the input": settings.input, **written}.items(), 2
    ):
        if _identity(location) == _identity(elsewhere):
            raise SettingsError(f"{option} and {other} are one file, {location}; give each a name of its own")
    for option, location in written.items():
        _check_writable(option, location)


def told(location: str) -> str:
    """The location as people know it."""
    return "standard input" if location in STANDARD_INPUT else location


def _identity(location: str) -> str:
    if location.startswith("file://"):
        location = unquote(urlsplit(location).path)
    if "://" in location or location in STANDARD_INPUT:
        return location
    return os.path.realpath(location)


def _check_writable(option: str, location: str) -> None:
    if "://" in location:
        _check_scheme(option, location)
    elif location in STANDARD_INPUT:
        raise SettingsError(f"{option} cannot be a stream: it is written again and again; name a file")
    elif Path(location).is_dir():
        raise SettingsError(f"{option} {location} is a folder; give the name of a file in it")
    else:
        _check_rights(option, Path(location))


def _check_rights(option: str, path: Path) -> None:
    """What is not there yet is made, its folders, too."""
    there = next((each for each in (path, *path.absolute().parents) if each.exists()), path)
    if not os.access(there, os.W_OK):
        raise SettingsError(f"{option} {path} cannot be written: {there} is read-only for this user")


def _check_scheme(option: str, location: str) -> None:
    from ...stores.smart_open_store import check_scheme

    scheme = urlsplit(location).scheme
    if scheme in _READ_ONLY:
        raise SettingsError(f"{option} {location} cannot be written: {scheme}:// is for reading")
    try:
        check_scheme(scheme, known=())
    except SettingsError as error:
        raise SettingsError(f"{option} {location} cannot be written: {error}") from None
