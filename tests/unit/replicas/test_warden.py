"""Processes that are to end with the one that started them: real ones, and a starter that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.replicas.warden import Warden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAUSE = "import signal; signal.pause()"
STARTER = """
import os, subprocess, sys
from truss_async.replicas.warden import WARDEN

made = [subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True) for _ in range(3)]
for each in made:
    WARDEN.watch(each.pid)
made[0].kill()
made[0].wait()
WARDEN.forget(made[0].pid)
if os.fork() == 0:  # a process that was forked by the way has no say in it
    os.read(0, 1)
    os._exit(0)
print(WARDEN.pid, *(each.pid for each in made), flush=True)
os.read(0, 1)
"""


@pytest.fixture
def group() -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", PAUSE], start_new_session=True) as process:
        yield process.pid
        process.kill()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        SYSTEM_CLOCK.block(0.01)
    pytest.fail("not within 10 s")


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_process_started_ends_with_it(number: signal.Signals) -> None:
    command = [sys.executable, "-c", STARTER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pids = [int(word) for word in starter.stdout.readline().split()]
        assert not is_gone(pids[-1])
        starter.send_signal(number)
        starter.wait()
        for pid in pids:
            wait_until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]


def test_a_warden_that_is_killed_is_followed_by_another(group: int) -> None:
    warden = Warden()
    warden.watch(group)
    first = warden.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: warden.pid not in (None, first))
    assert not is_gone(group)
    warden.forget(group)
    assert warden.pid is None


def test_a_warden_that_does_not_run_is_told_and_not_started_for_ever(
    group: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("truss_async.replicas.warden._PROGRAM", "/nowhere/to/be/found.py")
    warden = Warden()
    warden.watch(group)
    wait_until(lambda: "has exited (status 2)" in caplog.text)
    assert warden.pid is None
    warden.forget(group)


def test_no_process_is_left_where_nothing_is_watched(group: int) -> None:
    warden = Warden()
    for _ in range(3):
        warden.watch(group)
        pid = warden.pid
        assert pid is not None
        warden.forget(group)
        wait_until(lambda pid=pid: is_gone(pid))  # type: ignore[misc]
        warden.forget(group)
    assert not is_gone(group)


COMMAND = """
import asyncio, os, sys
from pathlib import Path
from truss_async.replicas.subprocesses import run

command = [sys.executable, "-u", "-c", "import os, signal; print(os.getpid()); signal.pause()"]
asyncio.run(run(command, env=os.environ, cwd=Path("/"), on_line=lambda line: print(line, flush=True)))
"""


def test_a_command_that_is_run_meanwhile_ends_with_who_ran_it() -> None:
    """Such as the builder of a context, or an installer."""
    with subprocess.Popen([sys.executable, "-c", COMMAND], stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        pid = int(runner.stdout.readline())
        runner.kill()
        runner.wait()
        wait_until(lambda: is_gone(pid))


ORPHAN = """
import os, subprocess, sys
from truss_async.replicas.launcher import die_with_parent

die_with_parent()
print(os.getpid(), flush=True)
os.read(0, 1)
"""


def test_a_model_server_ends_with_its_harness_even_if_nobody_is_left_to_see_to_that() -> None:
    starter = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {ORPHAN!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
        if sys.platform != "linux":  # which alone can
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: is_gone(pid))
