"""What the pool expects of a replica: one loaded copy of the model, behind an HTTP URL."""

from __future__ import annotations

from typing import Protocol

from ...errors import HarnessError

__all__ = ["Replica", "ReplicaLoadError"]


class ReplicaLoadError(HarnessError):
    """The model did not load. The message is one line; ``traceback`` is the model's own, if it left one."""

    def __init__(self, message: str, *, traceback: str | None = None) -> None:
        super().__init__(message)
        self.traceback = traceback


class Replica(Protocol):
    """One copy of the model. Started and stopped many times in its life, one after the other."""

    @property
    def name(self) -> str:
        """``replica-1``, ``replica-2``, …"""

    @property
    def predict_url(self) -> str:
        """The URL to POST a model input to; valid once started."""

    @property
    def base_url(self) -> str:
        """Where the model server is, without a slash at the end: custom routes hang on it; valid once started."""

    async def start(self) -> None:
        """Return when the model is loaded; raise HarnessError (ReplicaLoadError: its own fault) when not."""

    async def stop(self) -> None:
        """Leave no process behind. Harmless when nothing runs, and when called twice."""

    async def wait_exit(self) -> str:
        """Return, in one line, why a started replica is gone, as soon as it is."""
