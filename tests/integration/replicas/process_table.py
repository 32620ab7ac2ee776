"""Who is alive in a process group, without zombies, which are not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from truss_async.clock import SYSTEM_CLOCK

_POLL_SECONDS = 0.02


def group_members(group: int) -> list[int]:
    return [pid for pid, its_group, state in _table() if its_group == group and not state.startswith("Z")]


def assert_group_ends(group: int, *, within_seconds: float) -> None:
    for _ in range(round(within_seconds / _POLL_SECONDS)):
        if not group_members(group):
            return
        SYSTEM_CLOCK.block(_POLL_SECONDS)
    pytest.fail(f"still alive after {within_seconds} s: {group_members(group)}")


def _table() -> list[tuple[int, int, str]]:
    if not Path("/proc/self/stat").exists():
        text = subprocess.run(
            ["ps", "-A", "-o", "pid=,pgid=,stat="], check=True, capture_output=True, text=True
        ).stdout
        rows = [line.split(None, 2) for line in text.splitlines()]
        return [(int(pid), int(group), state) for pid, group, state in rows]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # pid (name) state parent group …; the name may hold anything.
                state, _, group = (entry / "stat").read_text().rpartition(")")[2].split()[:3]
            except (FileNotFoundError, ProcessLookupError):
                continue
            found.append((int(entry.name), int(group), state))
    return found
