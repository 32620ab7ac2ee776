"""What a ledger keeps of the settings: its batch is found from any folder, and may move to another one with its files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .input_file import STANDARD_INPUT
from .settings import BatchFiles, BatchSettings

if TYPE_CHECKING:
    from .ledger import Ledger

SETTINGS: Final = "settings"
_LOCATIONS: Final = ("input", "out", "errors", "inbox")


def located(settings: BatchSettings) -> BatchSettings:
    """The same with absolute paths, the ledger's among them."""
    ledger = BatchFiles(settings).ledger.absolute()
    return _with_paths(settings, os.path.abspath).model_copy(update={"ledger": ledger})


def stored_form(settings: BatchSettings, ledger: Ledger) -> str:
    """As the ledger keeps them: paths are relative to its folder."""
    folder = ledger.path.parent.absolute()
    stored = _with_paths(settings, lambda path: os.path.relpath(path, folder))
    return stored.model_copy(update={"ledger": None}).model_dump_json()


def stored_settings(ledger: Ledger) -> BatchSettings:
    """What the batch was told last."""
    folder = ledger.path.parent.absolute()
    stored = BatchSettings.model_validate_json(ledger.value(SETTINGS))
    found = _with_paths(stored, lambda path: os.path.normpath(folder / path))
    return found.model_copy(update={"ledger": ledger.path.absolute()})


def _with_paths(settings: BatchSettings, change: Callable[[str], str]) -> BatchSettings:
    given = {name: getattr(settings, name) for name in _LOCATIONS}
    paths = {
        name: change(str(Path(location)))
        for name, location in given.items()
        if location is not None and "://" not in location and location not in STANDARD_INPUT
    }
    return settings.model_copy(update=paths)
