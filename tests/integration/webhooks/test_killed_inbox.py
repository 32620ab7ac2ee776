"""A process that handles results is killed at random moments: what it acknowledged is handled, and so is what comes later."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

KILLS = 10

PROGRAM = """
import os, sys
from truss_async import AsyncPredictResult, on_result
from truss_async.clock import SYSTEM_CLOCK
from truss_async.webhooks import result_inbox

result_inbox.LEASE_SECONDS, result_inbox._POLL_SECONDS = 2.0, 0.05
handled = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

def handle(result):
    os.write(handled, f"{result.request_id}\\n".encode())

async def handle_later(result):
    handle(result)

inbox = on_result(handle if sys.argv[3] == "function" else handle_later, path=sys.argv[1], threads=2)
print("ready", flush=True)
for line in sys.stdin:
    request_id = line.strip()
    inbox.accept(AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data={"of": request_id}))
    print(request_id, flush=True)
while inbox.count_waiting():
    SYSTEM_CLOCK.block(0.02)
inbox.close()
print("failed", len(inbox.failed()), flush=True)
"""


class Killed:
    """The runs of the program on one inbox, and what was acknowledged in them."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.handled_file = folder / "handled.txt"
        self._command = [
            sys.executable,
            "-c",
            PROGRAM,
            str(folder / "inbox.sqlite"),
            str(self.handled_file),
            kind,
        ]
        self.acknowledged: list[str] = []
        self._sent = 0

    def run(self, *, kill_after_seconds: float | None, most: int = 100_000) -> list[str]:
        """Send results one after the other until it is killed, or so many; the lines that came back."""
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            killer = threading.Timer(kill_after_seconds or 0, process.kill)
            if kill_after_seconds is not None:
                killer.start()
            with suppress(BrokenPipeError):
                for _ in range(most):
                    self._sent += 1
                    process.stdin.write(f"r{self._sent}\n")
                    process.stdin.flush()
                    if not (line := process.stdout.readline()).endswith("\n"):
                        break
                    self.acknowledged.append(line.strip())
            with suppress(BrokenPipeError):
                process.stdin.close()
            lines = process.stdout.read().splitlines()
            killer.cancel()
        assert process.returncode == (0 if kill_after_seconds is None else -9)
        return lines


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_every_acknowledged_result_is_handled_though_its_process_is_killed_at_random(
    tmp_path: Path, kind: str
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    moments = random.Random(seed)
    runs = Killed(tmp_path, kind)
    for _ in range(KILLS):
        runs.run(kill_after_seconds=moments.uniform(0, 0.3))
    assert runs.run(kill_after_seconds=None, most=20)[-1] == "failed 0"
    handled = Counter(runs.handled_file.read_text().split())
    assert len(runs.acknowledged) > KILLS
    assert set(runs.acknowledged) <= set(handled)
    # Only what was in hand at a kill is handled twice: no more than there are threads.
    assert sum(times - 1 for times in handled.values()) <= 2 * KILLS
