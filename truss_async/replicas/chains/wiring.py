"""How a chainlet finds the others and is known to them: what the platform mounts into its container."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .chain import Chain, Chainlet

_ADDRESSES: Final = "dynamic_chainlet_config"
_KEY: Final = "TRUSS_SECRET_baseten_chain_api_key"
_WITHOUT_PROXY: Final = ("NO_PROXY", "no_proxy")


@dataclass(frozen=True)
class Platform:
    """Where calls between chainlets go: ``url`` has no slash at the end; they carry ``key``."""

    url: str
    key: str


@dataclass(frozen=True)
class Wiring:
    """What is put round a chainlet. Its packages are a copy of the folder ``source``, unless it is a truss of its own."""

    source: Path | None
    dynamic_config: Mapping[str, str]
    environment: Mapping[str, str]


def wire(
    chain: Chain, chainlet: Chainlet, *, chain_id: str, ids: Mapping[str, str], platform: Platform
) -> Wiring:
    """The surroundings of a chainlet of the chain; ``ids`` are those of all their deployments, by class name.

    As on the platform, it is told two addresses of each: of the chain's host, and of a gateway, where that host is named in a header.
    """
    netloc = urlsplit(platform.url).netloc
    port = netloc.rpartition(":")[2]
    addresses = {}
    deployment = f"deployment/{ids[chain.entry_point.name]}"
    for each in chain.chainlets:
        path = f"{deployment}/chainlet/{ids[each.name]}/run_remote"
        addresses[each.display_name] = {
            "predict_url": f"{platform.url}/chain/{chain_id}/{path}",
            "internal_url": {
                "gateway_run_remote_url": f"{platform.url}/{path}",
                "hostname": f"chain-{chain_id}.localhost:{port}",
            },
        }
    host = urlsplit(platform.url).hostname or netloc
    return Wiring(
        source=chain.source.folder if chainlet.is_generated else None,
        dynamic_config={_ADDRESSES: json.dumps(addresses)},
        environment={_KEY: platform.key, **_past_proxies([host])},
    )


def _past_proxies(hosts: Iterable[str]) -> dict[str, str]:
    """Variables that lead calls of these hosts past a proxy, besides those that go past it already."""
    return {name: ",".join(filter(None, [os.environ.get(name), *hosts])) for name in _WITHOUT_PROXY}
