"""The thread that a harness runs on: whoever asks something of it is told when it has ended."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack

import pytest

from truss_async.errors import HarnessError
from truss_async.harness.running import LoopThread


def test_what_is_asked_of_a_loop_that_breaks_down_is_refused_and_not_awaited_for_ever() -> None:
    reports: list[str] = []
    thread = LoopThread("breaking", report=reports.append)
    broken: list[asyncio.Event] = []

    async def break_down() -> None:
        broken.append(asyncio.Event())
        await broken[0].wait()
        raise ValueError("a defect")

    async def begin(_parts: AsyncExitStack) -> Sequence["asyncio.Task[None]"]:
        return [asyncio.get_running_loop().create_task(break_down(), name="worker")]

    async def ask_in_vain() -> None:
        broken[0].set()
        await asyncio.Event().wait()

    thread.start(begin)
    with pytest.raises(HarnessError, match="see its last log lines"):
        thread.run(ask_in_vain())
    assert reports == ["the harness has failed (worker): ValueError('a defect')"]
    assert thread.wait(30)
    asked = asyncio.sleep(0)
    with pytest.raises(HarnessError, match="not running"):
        thread.run(asked)
    thread.stop()


def test_a_loop_that_is_stopped_while_it_starts_does_not_go_on_starting() -> None:
    thread = LoopThread("starting", report=print)
    begins, cancelled = threading.Event(), threading.Event()

    async def begin(_parts: AsyncExitStack) -> Sequence["asyncio.Task[None]"]:
        begins.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return []

    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(thread.start, begin)
        assert begins.wait(30)
        thread.stop()
        with pytest.raises(HarnessError, match="stopped before it had started"):
            starting.result(timeout=30)
    assert cancelled.is_set()
