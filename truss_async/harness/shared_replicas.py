"""Replicas that outlive the harnesses that call them, so that the next harness need not wait for a model to load."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

from ..clock import SYSTEM_CLOCK
from ..replicas.factory import truss_replicas
from ..replicas.host import ReplicaHost
from ..replicas.logs import render_log_line
from ..replicas.pool import ReplicaPool
from ..replicas.readiness import all_ready
from ..replicas.settings import DeploymentSettings
from .harness import print_to_stderr
from .running import LoopThread
from .scratch_folders import scratch_folder
from .settings import HarnessSettings

if TYPE_CHECKING:
    from ..replicas.logs import ReplicaLogLine
    from ..replicas.truss_replica import ProcessReplica
    from .harness import Harness

KEPT_HARNESSES: Final = 8

_OF_THE_PROCESS: Final = ("truss_dir", "environment", "secrets_dir", "python", "install", "cache_dir")


class SharedReplicas:
    """One replica for each truss, started when it is first asked for, and stopped at the end of the ``with`` block.

    ``environment`` is added to that of the replicas; ``log`` gets each line that they write.
    """

    def __init__(self, *, environment: Mapping[str, str], log: Callable[[str], None]) -> None:
        self._environment = environment
        self._log = log
        self._thread = LoopThread("truss-async-shared-replicas", report=print_to_stderr)
        self._served: dict[tuple[Any, ...], tuple[ProcessReplica, ReplicaPool]] = {}
        self._harnesses: deque[Harness] = deque(maxlen=KEPT_HARNESSES)

    def attach(self, harness: Harness) -> None:
        """From now on, what replicas write becomes a part of this harness's stories, save what still belongs to those before."""
        self._harnesses.appendleft(harness)

    def share(self, settings: HarnessSettings) -> HarnessSettings:
        """Settings that serve the same by the URL of a replica that is loaded; as they are, where none can be shared.

        Raises:
            HarnessError: the model does not load.
        """
        is_one = settings.least_replicas == settings.replicas == 1
        if not settings.runs_truss or not is_one or any(rule.kind.is_of_store for rule in settings.faults):
            return settings
        options = {name: getattr(settings, name) for name in _OF_THE_PROCESS}
        replica, pool = self._thread.run(self._loaded(options))
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        given |= {"truss_dir": None, "model_url": replica.base_url, "predict_concurrency": pool.concurrency}
        given |= {name: getattr(settings, name) for name in ("model_id", "deployment_id")}
        given |= {"source": settings.known_by}
        return HarnessSettings(**given)

    def __enter__(self) -> SharedReplicas:
        self._thread.start(self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.stop()

    async def _begin(self, parts: AsyncExitStack) -> Sequence[asyncio.Task[Any]]:
        self._host = ReplicaHost(
            workdir=parts.enter_context(scratch_folder()),
            report=print_to_stderr,
            on_line=self._on_line,
            environment=self._environment,
        )
        parts.push_async_callback(self._host.http.close)
        parts.push_async_callback(self._stop_all)
        return ()

    async def _stop_all(self) -> None:
        await asyncio.gather(*(pool.stop() for _, pool in self._served.values()))
        self._served.clear()

    async def _loaded(self, options: Mapping[str, Any]) -> tuple[ProcessReplica, ReplicaPool]:
        key = tuple(options.values())
        if key not in self._served:
            # Each has a folder of its own, by its id.
            settings = DeploymentSettings(**options, deployment_id=f"shared{len(self._served) + 1}")
            (replica,), concurrency = truss_replicas(settings, self._host, names=["replica-1"])
            pool = ReplicaPool(
                [replica],
                concurrency=concurrency,
                clock=SYSTEM_CLOCK,
                report=print_to_stderr,
                on_capacity=lambda: None,
            )
            self._served[key] = replica, pool
            await pool.start()
        await all_ready([self._served[key][1]])
        return self._served[key]

    def _on_line(self, line: ReplicaLogLine) -> None:
        self._log(render_log_line(line, now=SYSTEM_CLOCK.now()))
        harnesses = tuple(self._harnesses)
        for harness in (*(each for each in harnesses if each.knows(line.request_id)), *harnesses):
            harness.note_line(line)
            return
