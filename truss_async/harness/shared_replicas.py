"""Replicas that outlive the harnesses that call them, so that the next harness need not wait for a model to load."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from ..replicas.truss_folder import read_truss_folder
from .server import Harness
from .settings import HarnessSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ..replicas.logs import ReplicaLogLine

__all__ = ["SharedReplicas"]

KEPT_HEARERS: Final = 8

_OF_THE_PROCESS: Final = (
    "truss_dir",
    "environment",
    "secrets_dir",
    "python",
    "install",
    "cache_dir",
)


class SharedReplicas:
    """One replica for each truss, started when it is first asked for.

    ``environment`` is added to that of the replicas; ``log`` gets each line that they write.
    """

    def __init__(self, *, environment: Mapping[str, str], log: Callable[[str], None]) -> None:
        self._environment = environment
        self._log = log
        self._hosts: dict[tuple[Any, ...], Harness] = {}
        self._hearers: deque[Harness] = deque(maxlen=KEPT_HEARERS)

    def tell(self, hearer: Harness) -> None:
        """From now on, what replicas write becomes a part of this harness's stories, save what still belongs to those before."""
        self._hearers.appendleft(hearer)

    def lend(self, settings: HarnessSettings) -> HarnessSettings:
        """Settings that serve the same by the URL of a replica that is loaded; as they are, where none can be shared.

        Raises:
            HarnessError: the model does not load.
        """
        is_one = settings.least_replicas == settings.replicas == 1
        if settings.truss_dir is None or not is_one or any(rule.kind.is_of_store for rule in settings.faults):
            return settings
        host = self._host(settings)
        host.wait_ready()
        given = {name: getattr(settings, name) for name in settings.model_fields_set}
        shared = {
            "truss_dir": None,
            "model_url": host.model_server_url,
            "predict_concurrency": read_truss_folder(settings.truss_dir).predict_concurrency,
        }
        return HarnessSettings(**{**given, **shared})

    def close(self) -> None:
        """Stop all replicas; harmless when done twice."""
        for host in self._hosts.values():
            host.close()
        self._hosts.clear()

    def __enter__(self) -> SharedReplicas:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _host(self, settings: HarnessSettings) -> Harness:
        options = {name: getattr(settings, name) for name in _OF_THE_PROCESS}
        key = tuple(options.values())
        if key not in self._hosts:
            host = Harness(
                HarnessSettings(**options, port=0),
                environment=self._environment,
                log=self._log,
                stories=False,
                on_line=self._hear,
            )
            host.start()
            self._hosts[key] = host
        return self._hosts[key]

    def _hear(self, line: ReplicaLogLine) -> None:
        for hearer in (*(each for each in self._hearers if each.knows(line.request_id)), *self._hearers):
            hearer.hear(line)
            return
