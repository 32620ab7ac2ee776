"""A chain as deployments: one for each of its chainlets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from ...errors import SettingsError, explained
from ..names import folder_source
from ..settings import OF_A_CHAIN, PYTHON_ONLY, DeploymentSettings
from .wiring import Wiring, wire

if TYPE_CHECKING:
    from .chain import Chain, Chainlet
    from .wiring import Platform

_NAMES: Final = ("model_id", "model_name", "deployment_id")
_OF_THE_CHAIN: Final = frozenset(
    {*OF_A_CHAIN, *_NAMES, "chain_id", "environment", "truss_dir", "wiring", "is_entry_point", "source"}
)
"""What no chainlet has for itself."""


class ChainletSettings(DeploymentSettings):
    """The deployment of one chainlet."""

    wiring: Wiring
    is_entry_point: bool

    @property
    def is_inner(self) -> bool:
        return not self.is_entry_point


def deployments_of_chain(
    chain: Chain, settings: DeploymentSettings, *, platform: Platform
) -> tuple[ChainletSettings, ...]:
    """A deployment for each chainlet, the entry point first, with the settings of the chain and its own.

    Raises:
        SettingsError: they are about a chainlet that there is not, or none that a deployment can have.
    """
    names = [each.name for each in chain.chainlets]
    if unknown := sorted(settings.chainlets.keys() - set(names)):
        raise SettingsError(f"{chain.source.file} has no chainlet {unknown[0]}; it has {', '.join(names)}")
    chain_id = settings.chain_id or chain.id
    ids = {name: f"{chain_id}__{name}" for name in names}
    shared = {
        name: getattr(settings, name)
        for name in DeploymentSettings.model_fields
        if name in settings.model_fields_set and name not in (*OF_A_CHAIN, *_NAMES)
    }
    return tuple(
        _deployment(
            each,
            {
                **shared,
                "chain_id": chain_id,
                "model_id": ids[each.name],
                "deployment_id": ids[each.name],
                "model_name": each.name,
                "wiring": wire(chain, each, chain_id=chain_id, ids=ids, platform=platform),
                "is_entry_point": each is chain.entry_point,
            },
            settings.chainlets.get(each.name, {}),
            source=f"{folder_source(chain.source.file)}:{each.name}",
        )
        for each in chain.chainlets
    )


def _deployment(
    chainlet: Chainlet, values: dict[str, Any], own: Mapping[str, Any], *, source: str
) -> ChainletSettings:
    what = f"the chainlet {chainlet.name}"
    if fixed := sorted(own.keys() & _OF_THE_CHAIN):
        raise SettingsError(f"{what} cannot have a {fixed[0]} of its own; it is the chain's")
    is_elsewhere = any(own.get(name) is not None for name in ("model_url", "model"))
    # Generated anew each time: what it is known by is the chain's own file.
    found = {} if is_elsewhere else {"truss_dir": chainlet.truss_dir, "source": source}
    try:
        return ChainletSettings(**{**found, **values, **own})
    except ValidationError as error:
        known = [name for name in DeploymentSettings.model_fields if name not in PYTHON_ONLY]
        raise SettingsError(f"{what}: {explained(error, known=known)}") from None
