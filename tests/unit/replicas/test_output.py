from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from truss_async.clock import SYSTEM_CLOCK, ManualClock, within
from truss_async.replicas.output import (
    MAX_ERROR_LINES_A_SECOND,
    MAX_LINES_A_SECOND,
    ServerOutput,
)

if TYPE_CHECKING:
    from truss_async.replicas.logs import ReplicaLogLine

TRACEBACK = """Traceback (most recent call last):
  File "/x/app/model/model.py", line 3, in load
    raise ValueError("boom")
ValueError: boom
second line of the message"""


def drained(*chunks: bytes) -> tuple[ServerOutput, list[ReplicaLogLine]]:
    logged: list[ReplicaLogLine] = []
    output = ServerOutput(
        "replica-1",
        log=logged.append,
        clock=ManualClock(),
        rename=lambda text: text.replace("/x/app", "/mine"),
    )

    async def main() -> None:
        stream = asyncio.StreamReader()
        for chunk in chunks:
            stream.feed_data(chunk)
        stream.feed_eof()
        await output.drain(stream)

    asyncio.run(main())
    return output, logged


def failed_load() -> bytes:
    return record("Exception while loading model")


def record(message: str) -> bytes:
    fields = {"asctime": "t", "levelname": "ERROR", "message": message, "exc_info": TRACEBACK}
    return json.dumps(fields).encode() + b"\n"


def test_failed_load_is_kept_and_not_logged() -> None:
    output, logged = drained(b"hello\n", failed_load())
    assert output.load_failed.is_set()
    assert output.failure() == TRACEBACK.replace("/x/app", "/mine")
    assert [line.message for line in logged] == ["hello"]


def test_traceback_that_ended_the_process_is_the_failure() -> None:
    output, _ = drained(b"starting\n", TRACEBACK.encode())
    assert output.failure() == TRACEBACK.replace("/x/app", "/mine")
    assert not output.load_failed.is_set()


def test_output_without_a_traceback_has_no_failure_but_a_last_line() -> None:
    output, _ = drained(b"one\ntwo\n")
    assert (output.failure(), output.last_line()) == (None, "two")


def test_flood_is_shown_in_part_and_counted() -> None:
    extra = 700
    _, logged = drained(b"again\n" * (MAX_LINES_A_SECOND + extra))
    assert len(logged) == MAX_LINES_A_SECOND + 1
    assert logged[-1].message == f"… {extra} lines not shown: more than {MAX_LINES_A_SECOND} a second"


def test_neither_chatter_nor_other_errors_hide_why_a_request_failed() -> None:
    _, logged = drained(
        b"again\n" * (2 * MAX_LINES_A_SECOND), *[record(f"request {n} failed") for n in range(500)]
    )
    said = {line.message for line in logged}
    assert {f"request {n} failed" for n in range(500)} <= said
    extra = 2_000
    _, logged = drained(record("failed") * (MAX_ERROR_LINES_A_SECOND // 6 + extra))
    assert len(logged) == MAX_ERROR_LINES_A_SECOND + 1


def test_a_flood_that_ends_is_counted_though_nothing_follows() -> None:
    async def main() -> None:
        told = asyncio.Event()

        def log(line: ReplicaLogLine) -> None:
            if "not shown" in line.message:
                told.set()

        stream = asyncio.StreamReader()
        stream.feed_data(b"again\n" * (MAX_LINES_A_SECOND + 1))
        output = ServerOutput("replica-1", log=log, clock=ManualClock())
        draining = asyncio.ensure_future(output.drain(stream))
        await within(20, told.wait(), clock=SYSTEM_CLOCK)
        stream.feed_eof()
        await draining

    asyncio.run(main())


def test_a_flood_is_read_in_time_and_leaves_the_event_loop_to_others() -> None:
    """Written a line at a time, as a print does it: a look for each line would cost more than the line."""
    looks = 0

    class Stream(asyncio.StreamReader):
        async def read(self, n: int = -1) -> bytes:
            nonlocal looks
            looks += 1
            return await super().read(n)

    async def main() -> None:
        output = ServerOutput("replica-1", log=lambda line: None, clock=ManualClock())
        stream = Stream()
        draining = asyncio.create_task(output.drain(stream))
        for number in range(100_000):
            stream.feed_data(b"line %d\n" % number)
            await asyncio.sleep(0)
        stream.feed_eof()
        await draining
        assert output.last_line() == "line 99999"

    asyncio.run(main())
    assert looks < 10_000


def test_log_that_nobody_reads_any_more_does_not_stop_the_draining() -> None:
    def closed_pipe(line: ReplicaLogLine) -> None:
        raise BrokenPipeError

    async def main() -> None:
        output = ServerOutput("replica-1", log=closed_pipe, clock=ManualClock())
        stream = asyncio.StreamReader()
        stream.feed_data(b"one\ntwo\n")
        stream.feed_eof()
        await output.drain(stream)
        assert output.last_line() == "two"

    asyncio.run(main())
