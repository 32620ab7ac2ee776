"""Threads that nothing ends, and an event loop that outlives what runs on it."""

import ast
import asyncio
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import truss_async
from truss_async.errors import WebhookReceiverError
from truss_async.workers import Caught, LoopThread, start_worker

DEADLINE_SECONDS = 30

# Where a thread is made, and why it is none that works on and on unnoticed.
THREADS = {
    "workers.py": "nothing ends it",
    "harness/running.py": "the harness is asked whether it is alive, before and while something is asked of it",
    "harness/scratch_folders.py": "one piece of work, which is waited for",
    "harness/webhook_targets.py": "one piece of work; whatever comes of it reaches whoever waits",
    "replicas/warden.py": "waits for one process, and says so when it can start no other",
    "model/failures.py": "one piece of work, which is waited for",
    "demo/tether.py": "one piece of work, in a script that loads nothing of the package",
}


class Ending(BaseException):
    """What ends a thread that catches exceptions."""


ERRORS = [ValueError("a defect"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), Ending("own")]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_worker_goes_on_whatever_a_turn_raises(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    turns: list[int] = []
    rests: list[int] = []

    def turn() -> bool:
        turns.append(len(turns))
        if len(turns) < 4:
            raise error
        return len(turns) < 6

    thread = start_worker(turn, name="w", trouble="it failed", rest=lambda: rests.append(1))
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert (len(turns), len(rests)) == (6, 3)
    assert [record.message for record in caplog.records] == ["it failed"] * 3
    assert all(record.exc_info is not None for record in caplog.records)


def test_what_the_package_raises_on_purpose_is_told_in_a_line(caplog: pytest.LogCaptureFixture) -> None:
    failures: list[Exception] = [WebhookReceiverError("the disk is full")]

    def turn() -> bool:
        if failures:
            raise failures.pop()
        return False

    start_worker(turn, name="w", trouble="it failed").join(DEADLINE_SECONDS)
    (record,) = caplog.records
    assert (record.message, record.exc_info) == ("it failed: the disk is full", None)


def test_a_worker_goes_on_when_it_can_neither_rest_nor_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise Ending

    turns: list[int] = []

    def turn() -> bool:
        turns.append(0)
        if len(turns) < 3:
            raise Ending
        return False

    monkeypatch.setattr("truss_async.workers.logger.error", fail)
    start_worker(turn, name="w", trouble="it failed", rest=fail).join(DEADLINE_SECONDS)
    assert len(turns) == 3


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_whatever_is_raised_is_caught(error: BaseException) -> None:
    with Caught() as caught:
        raise error
    assert caught.error is error
    with Caught() as caught:
        pass
    assert caught.error is None


def test_every_thread_of_the_package_is_one_that_nothing_ends_unnoticed() -> None:
    package = Path(truss_async.__file__).parent
    makers = {
        str(file.relative_to(package))
        for file in package.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("threading.Thread", "Thread", "Timer")
    }
    assert makers == set(THREADS)


async def twice(number: int) -> tuple[int, int]:
    await asyncio.sleep(0)
    return 2 * number, id(asyncio.get_running_loop())


def test_all_that_runs_on_a_loop_thread_has_one_loop() -> None:
    loop = LoopThread("loop")
    (first, one), (second, other) = loop.run(twice(1)), loop.run(twice(2))
    assert (first, second, one) == (2, 4, other)
    loop.close()
    loop.close()


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_what_a_coroutine_raises_reaches_who_waits_and_leaves_the_loop_alone(error: BaseException) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise error

    loop = LoopThread("loop")
    with pytest.raises(type(error)):
        loop.run(fail())
    assert loop.run(twice(1))[0] == 2
    loop.close()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_a_loop_goes_on_when_a_task_in_its_background_ends_it(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    loop = LoopThread("loop")
    tasks: list[asyncio.Task[None]] = []

    async def fail() -> None:
        raise error

    async def begin() -> None:
        tasks.append(asyncio.create_task(fail()))

    loop.run(begin())
    assert loop.run(twice(1))[0] == 2
    assert "a task in the background ended" in caplog.text
    assert isinstance(tasks[0].exception(), type(error))
    loop.close()


def test_ctrl_c_reaches_who_waits_whichever_thread_the_system_gives_it_to() -> None:
    loop = LoopThread("loop")

    async def interrupted() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)  # of the loop's own thread
        await asyncio.Event().wait()

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run(interrupted())
    finally:
        signal.signal(signal.SIGINT, before)
    loop.close()


def test_closing_cancels_what_is_left_and_ends_the_thread() -> None:
    before = set(threading.enumerate())
    ended: list[str] = []
    loop = LoopThread("loop")

    async def work_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    async def begin() -> asyncio.Task[None]:
        task = asyncio.create_task(work_on())
        await asyncio.sleep(0)
        return task

    task = loop.run(begin())
    loop.close()
    assert (ended, task.cancelled(), set(threading.enumerate()) - before) == (["cancelled"], True, set())


FORKING = """
import asyncio, os
from truss_async.workers import LoopThread

async def twice(number):
    await asyncio.sleep(0)
    return 2 * number

loop = LoopThread("loop")
loop.run(twice(1))
child = os.fork()
if child == 0:
    os._exit(loop.run(twice(2)))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), loop.run(twice(3)))
"""


def test_a_forked_process_has_a_loop_of_its_own() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert shown == "4 6\n"
