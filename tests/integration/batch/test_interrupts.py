"""Ctrl-C, and what comes after it: the installed command in a process of its own."""

import json
import shlex
import signal
import socket
from collections import Counter
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any

from tests.integration.batch.conftest import Served
from tests.integration.batch.test_commands import rows, write
from tests.unit.cli.conftest import DEADLINE_SECONDS, CommandLine
from truss_async import PlatformClient

if TYPE_CHECKING:
    import subprocess

Serve = Callable[..., Served]


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    moment = Event()
    for _ in range(DEADLINE_SECONDS * 20):
        if is_so():
            return
        assert process.poll() is None, process.communicate()
        moment.wait(0.05)
    raise AssertionError("it did not come to that")


class Gated:
    """A model that lets the first few inputs through, and the others once the gate is open."""

    def __init__(self, through: int) -> None:
        self.gate = Event()
        self.seen: Counter[int] = Counter()
        self._through = through

    def __call__(self, x: int) -> int:
        self.seen[x] += 1
        if x >= self._through:
            assert self.gate.wait(DEADLINE_SECONDS)
        return x


def status_of(command_line: CommandLine) -> dict[str, Any]:
    told = command_line.run("batch", "status", "out.jsonl.ledger", "--json")
    status: dict[str, Any] = json.loads(told.stdout)
    return status


def test_ctrl_c_leaves_whole_files_and_prints_the_command_that_goes_on(
    serve: Serve, command_line: CommandLine
) -> None:
    model, out = Gated(through=3), command_line.folder / "out.jsonl"
    write(command_line.folder, *range(10))
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", serve(model).url, "--no-progress")
    with command_line.started(*run) as process:
        wait_until(lambda: out.exists() and out.read_bytes().count(b"\n") == 3, process)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, stdout) == (3, "")
    first, told = stderr.splitlines()
    assert first == "ending: what is on its way is stored; once more leaves at once"
    assert set(rows(out)) == {"line-1", "line-2", "line-3"}
    assert status_of(command_line)["failed"] == 0
    words = shlex.split(told.removeprefix("interrupted; go on with: "))
    assert words == ["truss-async", *run]
    model.gate.set()
    assert command_line.run(*words[1:]).code == 0
    assert rows(out) == {f"line-{x + 1}": x for x in range(10)}


def test_a_second_ctrl_c_leaves_at_once(serve: Serve, command_line: CommandLine) -> None:
    write(command_line.folder, *range(3))
    with socket.create_server(("127.0.0.1", 0)) as mute:  # takes calls, and never answers
        url = f"http://127.0.0.1:{mute.getsockname()[1]}"
        run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--no-progress", "--url")
        with command_line.started(*run, url) as process:
            calls = [mute.accept()[0] for _ in range(3)]
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            assert process.stderr.readline().startswith("ending: ")
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        for call in calls:
            call.close()
    assert (process.returncode, stderr) == (3, "")  # it did not get to its end
    assert command_line.run(*run, serve(lambda x: x).url).code == 0
    assert status_of(command_line)["unanswered"] == 3


def test_cancel_on_interrupt_withdraws_what_is_queued(serve: Serve, command_line: CommandLine) -> None:
    model = Gated(through=0)
    served = serve(model, predict_concurrency=1)
    write(command_line.folder, *range(6))
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", served.url, "--cancel-on-interrupt")
    with PlatformClient(served.url, api_key="k") as client:

        def is_underway() -> bool:
            queue = client.queue_status()
            return (queue.num_in_progress_requests, queue.num_queued_requests) == (1, 5)

        with command_line.started(*run) as process:
            wait_until(is_underway, process)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 3
        assert client.queue_status().num_queued_requests == 0
    status = status_of(command_line)
    assert (status["waiting"], status["open"]) == (5, 1)
    model.gate.set()
    assert command_line.run(*run).code == 0
    assert rows(command_line.folder / "out.jsonl") == {f"line-{x + 1}": x for x in range(6)}
    assert sum(model.seen.values()) <= 7  # but for the one whose result came while nobody listened
