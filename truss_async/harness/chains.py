"""Chains among what is served: generated when the harness starts, each chainlet a deployment from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..replicas.chains import ChainSource, Sources, deployments_of_chain, generate_chain

if TYPE_CHECKING:
    from ..replicas.chains import Chain
    from ..replicas.chains.wiring import Platform
    from ..replicas.settings import DeploymentSettings
    from .settings import HarnessSettings

_REMEDY: Final = "restart the harness to serve the current version"


@dataclass(frozen=True)
class GeneratedChains:
    """Settings whose chains are deployments now, and what those were generated from."""

    settings: HarnessSettings
    sources: tuple[Sources, ...]

    async def run(self, report: Callable[[str], None]) -> None:
        """Report what is changed in the chains. Does not end."""
        await asyncio.gather(*(each.watch(report, remedy=_REMEDY) for each in self.sources))


async def generate_chains(
    settings: HarnessSettings, *, into: Path, platform: Platform, report: Callable[[str], None]
) -> GeneratedChains:
    """Let truss generate every chain that the settings name, below the folder ``into``.

    Raises:
        HarnessError: one cannot be generated.
        SettingsError: the deployments that come of it do not go together.
    """
    served: list[DeploymentSettings] = []
    sources = []
    for number, each in enumerate(settings.all_deployments, 1):
        if each.chain is None:
            served.append(each)
            continue
        source = ChainSource.parse(each.chain)
        report(f"generating the chain of {source.file}")
        folder = into / f"chain-{number}"
        await asyncio.to_thread(folder.mkdir)
        chain = await generate_chain(source, into=folder, python=each.python)
        chainlets = deployments_of_chain(chain, each, platform=platform)
        report(_introduction(chain, url=f"{platform.url}/chain/{chainlets[0].chain_id}"))
        served += chainlets
        sources.append(Sources.of(chain))
    return GeneratedChains(settings.serving(tuple(served)), tuple(sources))


def _introduction(chain: Chain, *, url: str) -> str:
    others = ", ".join(each.name for each in chain.others)
    with_others = f" with {others}" if others else ""
    return f"the chain {chain.name} is {chain.entry_point.name}{with_others}: truss-async submit INPUT --url {url}"
