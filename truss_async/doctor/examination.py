"""All checks, one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..clock import SYSTEM_CLOCK
from ..errors import HarnessError
from ..replicas.venv_cache import environments_folder
from . import databases, endpoints, machine, stores, trusses
from .findings import Finding

if TYPE_CHECKING:
    from ..clock import Clock
    from ..replicas.settings import DeploymentSettings


@dataclass(frozen=True)
class Examination:
    """What to look at, with the settings that ``serve`` would have."""

    settings: DeploymentSettings
    host: str
    port: int
    state_dir: Path
    time_url: str
    """Some server whose clock is right."""
    output_url: str | None = None
    """The output store; by default what the truss's config says."""
    state: str | None = None
    """The database that keeps the queue, in place of the state folder."""
    state_schema: str = "truss_async"
    webhook_endpoint: str | None = None
    clock: Clock = SYSTEM_CLOCK

    def findings(self) -> Iterator[Finding]:
        """Each finding as soon as it is there."""
        yield machine.python()
        yield from machine.packages()
        yield machine.port(self.host, self.port)
        if self.state is None:
            yield machine.disk(self.state_dir, what="the state folder")
        yield machine.disk(environments_folder(self.settings.cache_dir), what="the folder of environments")
        yield machine.time_of_day(self.time_url, clock=self.clock)
        if self.state is not None:
            yield from databases.database(self.state, schema=self.state_schema, clock=self.clock)
        yield self._store()
        yield self._webhook()
        if self.settings.truss_dir is not None:
            yield from trusses.truss(self.settings.truss_dir, self.settings)

    def _store(self) -> Finding:
        local_url = (self.state_dir.absolute() / "outputs").as_uri()
        url = self.output_url
        secrets: Mapping[str, str] = {}
        if self.settings.truss_dir is not None:
            from ..replicas.truss_folder import configured_output_url

            try:
                url = url or configured_output_url(self.settings.truss_dir, local_url=local_url)
                secrets = self._secrets()
            except HarnessError:
                pass  # the rows of the truss say why it cannot be read
        if url is None:
            return Finding("store", "note", "not checked; give DIR or --store to check one")
        environment = self.settings.environment or None
        return stores.output_store(url, secrets=secrets, environment=environment, clock=self.clock)

    def _secrets(self) -> Mapping[str, str]:
        from ..replicas.declared_secrets import values_of
        from ..replicas.inherited import inherited_environment
        from ..replicas.truss_folder import read_config

        if self.settings.truss_dir is None:
            return {}
        return values_of(
            read_config(self.settings.truss_dir),
            secrets_dir=self.settings.secrets_dir,
            environment=inherited_environment(),
        )

    def _webhook(self) -> Finding:
        if self.webhook_endpoint is None:
            return Finding("webhook", "note", "not checked; give --webhook-endpoint to check one")
        return endpoints.webhook_endpoint(self.webhook_endpoint, clock=self.clock)
