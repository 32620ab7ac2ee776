"""What a replica on this machine cannot give a truss that the platform would: said once, in a line each."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from typing import Any


def differences(
    config: Mapping[str, Any], *, python_version: str, methods: Container[str] = ()
) -> Iterator[str]:
    """``config`` is the truss's whole config.yaml, ``python_version`` that of the replica, as in ``3.11``.

    ``methods`` are those of the model's class, as far as its file tells.
    """
    wanted = str(config.get("python_version") or "").removeprefix("py")
    wanted = f"{wanted[:1]}.{wanted[1:]}"
    if len(wanted) > 2 and wanted != python_version:
        yield f"config.yaml asks for Python {wanted}; replicas run on {python_version} here"
    transport = (config.get("runtime") or {}).get("transport") or {}
    kind = "websocket" if "websocket" in methods else transport.get("kind", "http")
    if kind != "http":
        yield f"the model speaks {kind}, which is not passed on here: no call of the harness reaches it"
    if packages := config.get("system_packages"):
        yield f"system packages are not installed here, see to them yourself: {', '.join(map(str, packages))}"
    if config.get("external_data"):
        yield "external_data is not fetched here: put the files into the truss's data folder"
    if config.get("weights"):
        yield "weights are not mounted here: the model must find them by itself"
