"""Several deployments in one harness: truss folders and chains side by side, or a TOML file that describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ..errors import SettingsError, explained
from ..replicas.settings import OF_A_CHAIN, PYTHON_ONLY, DeploymentSettings, split_chain
from ..replicas.stub import names_file
from .toml_files import read_toml

_TABLE = "deployment"
_CHAIN_TABLE = "chain"
_FILE = "file"
_CHAINLETS = "chainlets"
_PATHS = ("truss_dir", "secrets_dir", "python", "cache_dir")


def deployments_of_folders(
    folders: Sequence[Path], values: Mapping[str, Any]
) -> tuple[DeploymentSettings, ...]:
    """One deployment for each folder, whose name is the model id, and for each file of a chain; what they share is in ``values``.

    Raises:
        SettingsError: a value is none that a deployment can have.
    """
    made = []
    for folder in folders:
        if split_chain(str(folder)) is not None:
            made.append(_deployment({**values, "chain": str(folder)}, where=str(folder)))
            continue
        own = {"truss_dir": folder, "model_id": "", "deployment_id": ""}
        made.append(_deployment({**values, **own}, where=str(folder)))
    return tuple(made)


def read_deployments(file: Path, values: Mapping[str, Any]) -> tuple[DeploymentSettings, ...]:
    """The deployments of a TOML file: a table ``[[deployment]]`` with the settings of each, ``[[chain]]`` for a chain.

    Paths are relative to the file; ``values`` stand for what a table does not say.

    Raises:
        SettingsError: the file cannot be read, or says what it must not.
    """
    content = read_toml(file)
    deployments, chains = _tables(content, _TABLE, file), _tables(content, _CHAIN_TABLE, file)
    if content:
        raise SettingsError(
            f"{file}: unknown key {next(iter(content))}; known are [[{_TABLE}]] and [[{_CHAIN_TABLE}]]"
        )
    if not deployments and not chains:
        raise SettingsError(
            f"{file} describes no deployment; start each with [[{_TABLE}]] or [[{_CHAIN_TABLE}]]"
        )
    return (
        *(
            _deployment({**values, **_own_values(table, file)}, where=f"{file}, {_TABLE} {number}")
            for number, table in enumerate(deployments, 1)
        ),
        *(
            _deployment({**values, **_chain_values(table, file, where)}, where=where)
            for number, table in enumerate(chains, 1)
            for where in (f"{file}, {_CHAIN_TABLE} {number}",)
        ),
    )


def _tables(content: dict[str, Any], name: str, file: Path) -> list[dict[str, Any]]:
    tables = content.pop(name, [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise SettingsError(f"{file} describes no {name}; start each with [[{name}]]")
    return tables


def _chain_values(table: dict[str, Any], file: Path, where: str) -> dict[str, Any]:
    """What a table says of a chain: its ``file``, and tables of its own for single chainlets."""
    if not isinstance(named := table.get(_FILE), str) or split_chain(named) is None:
        raise SettingsError(
            f'{where}: give its {_FILE}, as in {_FILE} = "my_chain.py" or "my_chain.py:EntryPoint"'
        )
    chainlets = table.get(_CHAINLETS, {})
    if not isinstance(chainlets, dict) or not all(isinstance(own, dict) for own in chainlets.values()):
        raise SettingsError(
            f"{where}: put the settings of a chainlet into a table [{_CHAIN_TABLE}.{_CHAINLETS}.CLASS]"
        )
    own = {key: value for key, value in table.items() if key not in (_FILE, _CHAINLETS)}
    differing = {name: _with_paths(values, file) for name, values in chainlets.items()}
    return {**_with_paths(own, file), "chain": str(file.parent / named), _CHAINLETS: differing}


def _with_paths(table: Mapping[str, Any], file: Path) -> dict[str, Any]:
    own = {
        key: file.parent / value if key in _PATHS and isinstance(value, str) else value
        for key, value in table.items()
    }
    if isinstance(stub := own.get("stub"), str) and names_file(stub):
        own["stub"] = file.parent / stub
    return own


def _own_values(table: dict[str, Any], file: Path) -> dict[str, Any]:
    return {"model_id": "", "deployment_id": "", **_with_paths(table, file)}


def _deployment(values: Mapping[str, Any], *, where: str) -> DeploymentSettings:
    for name in PYTHON_ONLY:
        if name in values:
            raise SettingsError(f"{where}: {name} can be given in Python only")
    try:
        deployment = DeploymentSettings(**values)
    except ValidationError as error:
        known = [name for name in DeploymentSettings.model_fields if name not in (*PYTHON_ONLY, *OF_A_CHAIN)]
        raise SettingsError(f"{where}: {explained(error, known=known)}") from None
    if not deployment.serves_something:
        raise SettingsError(f"{where}: give a truss folder, a model URL or a stub")
    return deployment
