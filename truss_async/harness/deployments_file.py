"""Several deployments in one harness: truss folders side by side, or a TOML file that describes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import SettingsError, explained
from ..replicas.settings import PYTHON_ONLY, DeploymentSettings
from .toml_files import read_toml

_TABLE = "deployment"
_PATHS = ("truss_dir", "secrets_dir", "python", "cache_dir")


def deployments_of_folders(
    folders: Sequence[Path], values: Mapping[str, Any]
) -> tuple[DeploymentSettings, ...]:
    """One deployment for each folder, whose name is the model id; what they share is in ``values``.

    Raises:
        SettingsError: a value is none that a deployment can have.
    """
    made = []
    for folder in folders:
        model_id = re.sub(r"[^A-Za-z0-9_]", "_", folder.absolute().name)[:63]
        own = {"truss_dir": folder, "model_id": model_id, "deployment_id": f"{model_id}1"}
        made.append(_deployment({**values, **own}, where=str(folder)))
    return tuple(made)


def read_deployments(file: Path, values: Mapping[str, Any]) -> tuple[DeploymentSettings, ...]:
    """The deployments of a TOML file, each a table ``[[deployment]]`` with the settings of a deployment.

    Paths are relative to the file; ``values`` stand for what a table does not say.

    Raises:
        SettingsError: the file cannot be read, or says what it must not.
    """
    content = read_toml(file)
    tables = content.pop(_TABLE, None)
    if content:
        raise SettingsError(f"{file}: unknown key {next(iter(content))}; there is only [[{_TABLE}]]")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{file} describes no deployment; begin each one with [[{_TABLE}]]")
    return tuple(
        _deployment({**values, **_own_values(table, file)}, where=f"{file}, {_TABLE} {number}")
        for number, table in enumerate(tables, 1)
    )


def _own_values(table: dict[str, Any], file: Path) -> dict[str, Any]:
    own = {
        key: file.parent / value if key in _PATHS and isinstance(value, str) else value
        for key, value in table.items()
    }
    if "deployment_id" not in own and isinstance(named := own.get("model_id") or own.get("chain_id"), str):
        own["deployment_id"] = f"{named}1"
    return own


def _deployment(values: Mapping[str, Any], *, where: str) -> DeploymentSettings:
    for name in PYTHON_ONLY:
        if name in values:
            raise SettingsError(f"{where}: {name} can be given in Python only")
    try:
        deployment = DeploymentSettings(**values)
    except ValidationError as error:
        known = [name for name in DeploymentSettings.model_fields if name not in PYTHON_ONLY]
        raise SettingsError(f"{where}: {explained(error, known=known)}") from None
    if not deployment.serves_something:
        raise SettingsError(f"{where}: give a truss folder or a model URL")
    return deployment
