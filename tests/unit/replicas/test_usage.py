"""What processes use, as real ones do."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from truss_async.replicas.usage import UsageMeter

CHILD = "while sum(__import__('os').times()[:2]) < 0.2: pass\nprint('busy', flush=True)\ninput()"
PARENT = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {CHILD!r}])"


@pytest.fixture
def parent() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose child has used 0.2 s of processor time, and waits."""
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"busy\n"
        yield process
        process.kill()


def test_what_a_process_started_counts_with_it(parent: subprocess.Popen[bytes]) -> None:
    usage = UsageMeter().read(parent.pid)
    assert usage.cpu_seconds >= 0.2
    assert usage.memory_bytes > psutil.Process(parent.pid).memory_info().rss


def test_processor_time_is_carried_on_and_memory_is_not(parent: subprocess.Popen[bytes]) -> None:
    meter = UsageMeter()
    used = meter.read(parent.pid).cpu_seconds
    ended = meter.read(None)
    assert (ended.cpu_seconds, ended.memory_bytes) == (used, 0)
    assert meter.read(parent.pid).cpu_seconds >= 2 * used


def test_a_process_that_ended_in_between_takes_nothing_back(parent: subprocess.Popen[bytes]) -> None:
    meter = UsageMeter()
    used = meter.read(parent.pid).cpu_seconds
    parent.communicate(b"\n")
    ended = meter.read(parent.pid)
    assert (ended.cpu_seconds, ended.memory_bytes) == (used, 0)


def test_what_never_ran_uses_nothing() -> None:
    usage = UsageMeter().read(None)
    assert (usage.cpu_seconds, usage.memory_bytes) == (0, 0)
