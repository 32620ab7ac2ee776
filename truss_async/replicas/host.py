"""What all replicas of one process of ours have in common."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK
from .http_calls import HttpCalls

if TYPE_CHECKING:
    from ..clock import Clock
    from .logs import ReplicaLogLine
    from .settings import DeploymentSettings

    EnvironmentChange = Callable[[Mapping[str, str], str], Awaitable[Mapping[str, str]]]

BUILDS_AT_ONCE: Final = 2


async def _unchanged(environment: Mapping[str, str], _deployment_id: str) -> Mapping[str, str]:
    return environment


def _plain(_settings: DeploymentSettings) -> type:
    return object


@dataclass(frozen=True)
class ReplicaHost:
    """Who runs replicas, and what it gives to each."""

    workdir: Path
    """Theirs to fill, and for the host to remove."""
    report: Callable[[str], None]
    """Gets what a person should know."""
    on_line: Callable[[ReplicaLogLine], None]
    """Gets each line that a replica writes, save the server's routine."""
    http: HttpCalls = field(default_factory=HttpCalls)
    """For the host to close."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to that of this process and to the config's ``environment_variables``, and stronger."""
    change_environment: EnvironmentChange = _unchanged
    """Gets the whole environment of a replica that starts, with the deployment's id, and has the last word on it."""
    clock: Clock = SYSTEM_CLOCK
    """Processes live in the system's time, whatever the clock of the requests shows."""
    sleep: Callable[[float], Awaitable[None]] = SYSTEM_CLOCK.sleep
    """Waits for so many seconds in the time of the requests, which a test may move."""
    base_of_stubs: Callable[[DeploymentSettings], type] = _plain
    """Gets the settings of a stub; what it returns makes the outputs of the stub saved, or does nothing."""
    builds: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(BUILDS_AT_ONCE))
    """So many replicas prepare their files at once; it takes a processor and 100 MB each."""

    def log(self, line: ReplicaLogLine) -> None:
        """A replica wrote a line."""
        if line.level != "debug":
            self.on_line(line)
