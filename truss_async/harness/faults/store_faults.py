"""The gates between replicas and the output stores that have an endpoint of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from ...stores.schemes import SCHEMES
from .store_gate import DIALECTS, StoreGate

if TYPE_CHECKING:
    from ...contract.faults import FaultKind
    from .rules import Faults

VARIABLES: Final = {
    variable: dialect
    for scheme, dialect in DIALECTS.items()
    for variable in SCHEMES[scheme].endpoint_variables
}
_PROXIES: Final = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
_NO_PROXY: Final = ("no_proxy", "NO_PROXY")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
_NO_ENDPOINT: Final = (
    f"the replicas' environment names no endpoint of its own, an http:// URL in {', '.join(VARIABLES)}"
)
_NO_PROCESSES: Final = "this harness starts no model server whose environment it could change"
_NO_GATES: Final = "the harness was started with --no-store-gate"


class StoreGates:
    """Opened as replicas start, one for each endpoint; shut for requests while an attempt of theirs is struck."""

    def __init__(
        self, faults: Faults, *, is_on: bool, has_processes: bool, report: Callable[[str], None]
    ) -> None:
        self._faults = faults
        self._has_processes = has_processes
        self._is_on = is_on
        self._report = report
        self._shut: dict[str, FaultKind] = {}
        self._opening = asyncio.Lock()
        self._gates: list[StoreGate] = []
        self._ports: dict[tuple[str, str], int] = {}
        self._has_gate: dict[str, bool] = {}
        faults.store_obstacle = self.obstacle

    def obstacle(self) -> str | None:
        """Why no replica's store can be struck; None when one can, or it is not known yet."""
        if not self._has_processes:
            return _NO_PROCESSES
        if not self._is_on:
            return _NO_GATES
        return _NO_ENDPOINT if self._has_gate and not any(list(self._has_gate.values())) else None

    def has_gate(self, deployment_id: str) -> bool:
        """Whether the replicas of a deployment reach an output store through a gate."""
        return self._has_gate.get(deployment_id, False)

    async def via_gates(self, environment: Mapping[str, str], deployment_id: str) -> dict[str, str]:
        """The environment of a replica, in which each endpoint is a gate."""
        gates = {}
        for name in VARIABLES if self._is_on else ():
            if can_have_gate(url := environment.get(name, ""), environment):
                port = await self._port_to(url, name)
                gates[name] = urlunsplit(urlsplit(url)._replace(netloc=f"127.0.0.1:{port}"))
        if self._is_on and not gates and deployment_id not in self._has_gate and self._are_wanted():
            self._report(f"store faults cannot be injected into {deployment_id}: {_NO_ENDPOINT}")
        self._has_gate[deployment_id] = bool(gates)
        if gates:  # a gate is nothing that a proxy could reach
            without_proxy = {name: environment[name] for name in _NO_PROXY if name in environment}
            gates |= {name: f"{hosts},127.0.0.1" for name, hosts in without_proxy.items()}
        return {**environment, **gates}

    @contextmanager
    def shut(self, request_id: str, kind: FaultKind) -> Iterator[None]:
        """Let the store be unreachable, or forbidden, to the objects of this request."""
        self._shut[request_id] = kind
        try:
            yield
        finally:
            del self._shut[request_id]

    async def close(self) -> None:
        """Close every gate."""
        for gate in self._gates:
            await gate.close()

    async def _port_to(self, url: str, variable: str) -> int:
        endpoint = urlsplit(url)
        async with self._opening:
            if (endpoint.netloc, variable) not in self._ports:
                gate = StoreGate(
                    endpoint.hostname or "",
                    endpoint.port or 80,
                    dialect=VARIABLES[variable],
                    shut=self._shut,
                    on_outage=lambda reason: self._report(
                        f"the store at {url} ({variable}) cannot be reached: {reason}"
                    ),
                )
                self._ports[endpoint.netloc, variable] = await gate.open()
                self._gates.append(gate)
            return self._ports[endpoint.netloc, variable]

    def _are_wanted(self) -> bool:
        return any(item.kind.is_of_store for item in self._faults.all())


def can_have_gate(url: str, environment: Mapping[str, str]) -> bool:
    """Whether a gate can stand before an endpoint: not when it is protected by TLS, or reached through a proxy."""
    try:
        endpoint = urlsplit(url)
        is_plain = endpoint.scheme == "http" and bool(endpoint.hostname) and endpoint.port != 0
    except ValueError:
        return False
    return is_plain and (
        endpoint.hostname in _LOOPBACK or not any(environment.get(name) for name in _PROXIES)
    )
