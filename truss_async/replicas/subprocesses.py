"""Processes that belong to this one: each in a session of its own, none left behind, not even by a kill."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .warden import WARDEN


async def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    cwd: Path,
    on_line: Callable[[str], None],
    keep_open: tuple[int, ...] = (),
) -> int:
    """Run to the end and return the exit status; each line of its output goes to ``on_line``.

    Raises OSError when it cannot be started. Cancelled, it takes the process group with it.
    """
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        env=dict(env),
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
        pass_fds=keep_open,
        limit=2**24,
    )
    WARDEN.watch(process.pid)
    try:
        if process.stdout is not None:
            while line := await process.stdout.readline():
                on_line(line.decode(errors="replace").rstrip())
        return await process.wait()
    finally:
        kill_group(process.pid)
        await process.wait()
        WARDEN.forget(process.pid)


def kill_group(leader: int) -> None:
    """SIGKILL whatever is left of a process group that we started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS: EPERM for a group of zombies
        os.killpg(leader, signal.SIGKILL)


def describe_exit(status: int) -> str:
    """``exited with status 1``, ``was killed by SIGKILL (out of memory?)``."""
    if status >= 0:
        return f"exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was killed by {name}" + (" (out of memory?)" if -status == signal.SIGKILL else "")
