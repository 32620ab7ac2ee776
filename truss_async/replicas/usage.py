"""What the processes of a replica use of the machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@runtime_checkable
class HasProcess(Protocol):
    """A replica that runs a process, now or at times."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int | None:
        """The process that leads all of its others."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Processor time since the replica was first started, in core-seconds; memory now."""

    cpu_seconds: float
    memory_bytes: int


class UsageMeter:
    """Reads what one replica uses, whose processor time is carried on over its restarts."""

    def __init__(self) -> None:
        self._pid: int | None = None
        self._before = 0.0
        self._latest = 0.0

    def read(self, pid: int | None) -> Usage:
        """What the process and all that it started use; one that has ended uses nothing any more."""
        if pid != self._pid:
            self._before += self._latest
            self._pid, self._latest = pid, 0.0
        found = list(_of_tree(pid)) if pid is not None else []
        self._latest = max(self._latest, sum(each.cpu_seconds for each in found))
        return Usage(self._before + self._latest, sum(each.memory_bytes for each in found))


def _of_tree(pid: int) -> Iterator[Usage]:
    import psutil  # only who asks for metrics needs it

    with contextlib.suppress(psutil.Error):  # it has ended
        leader = psutil.Process(pid)
        for process in (leader, *leader.children(recursive=True)):
            with contextlib.suppress(psutil.Error), process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
                yield Usage(
                    times.user + times.system + times.children_user + times.children_system, memory.rss
                )
