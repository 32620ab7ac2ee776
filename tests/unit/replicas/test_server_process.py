"""How a model server is watched: the process is a real one, what it answers is said by the test."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from truss_async.clock import SYSTEM_CLOCK
from truss_async.replicas.output import ServerOutput
from truss_async.replicas.protocol import ReplicaLoadError
from truss_async.replicas.server_process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

PAUSE = "import signal; signal.pause()"
LOADED, READY = "/v1/models/model/loaded", "/v1/models/model"


class Answers:
    """``next_status`` gets the path; None: no answer, ever. ``asked`` are the paths so far."""

    def __init__(self, next_status: Callable[[str], int | None]) -> None:
        self._next_status = next_status
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        status = self._next_status(request.path)
        if status is None:
            await asyncio.Event().wait()
        return web.Response(status=status or 200)


@contextlib.asynccontextmanager
async def serving(answers: Answers) -> AsyncIterator[ServerProcess]:
    app = web.Application()
    app.router.add_get("/{path:.*}", answers.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PAUSE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    output = ServerOutput("replica-1", log=lambda line: None, clock=SYSTEM_CLOCK)
    server = ServerProcess(process, runner.addresses[0][1], output)
    try:
        yield server
    finally:
        await server.stop(grace_seconds=0, clock=SYSTEM_CLOCK)
        await runner.cleanup()


def test_server_has_started_when_the_model_is_loaded_and_then_healthy() -> None:
    async def main() -> None:
        statuses = iter([503, 200, 503, 200])
        answers = Answers(lambda _: next(statuses))
        async with serving(answers) as server:
            await server.wait_loaded(clock=SYSTEM_CLOCK)
            assert answers.asked == [LOADED, LOADED, READY, READY]

    asyncio.run(main())


@pytest.mark.parametrize("never", [LOADED, READY])
def test_model_that_is_not_healthy_in_time_has_not_loaded(never: str) -> None:
    async def main() -> None:
        async with serving(Answers(lambda path: 503 if path == never else 200)) as server:
            with pytest.raises(ReplicaLoadError, match=r"within 0.2 s .*startup_threshold_seconds"):
                await server.wait_loaded(clock=SYSTEM_CLOCK, threshold_seconds=0.2)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "problem"), [(200, None), (503, "it answered 503"), (None, "it does not answer")]
)
def test_what_a_check_finds(status: int | None, problem: str | None) -> None:
    async def main() -> None:
        async with serving(Answers(lambda _: status)) as server:
            assert await server.check_health(30 if status else 0.1) == problem

    asyncio.run(main())


def test_check_of_a_server_that_is_gone_says_so() -> None:
    async def main() -> None:
        async with serving(Answers(lambda _: 200)) as server:
            pass
        assert "Cannot connect" in str(await server.check_health(30))

    asyncio.run(main())


def test_server_is_killed_when_the_watch_gives_it_up() -> None:
    async def main() -> None:
        async def give_up() -> str:
            return "failed"

        async with serving(Answers(lambda _: None)) as server:
            assert await server.wait_exit(give_up()) == "failed and was killed"
            assert server.exited.is_set()

    asyncio.run(main())


def test_watch_ends_with_the_server() -> None:
    async def main() -> None:
        async with serving(Answers(lambda _: None)) as server:
            endless = asyncio.Event()
            ended = asyncio.Event()

            async def watch() -> str:
                try:
                    await endless.wait()
                finally:
                    ended.set()
                return ""

            waiting = asyncio.create_task(server.wait_exit(watch()))
            await asyncio.sleep(0)
            await server.stop(grace_seconds=30, clock=SYSTEM_CLOCK)
            assert await waiting == "was killed by SIGTERM"
            assert ended.is_set()

    asyncio.run(main())
