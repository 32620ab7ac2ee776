from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from truss_async.clock import SYSTEM_CLOCK
from truss_async.replicas.http_calls import HttpCalls
from truss_async.replicas.url_replica import UrlReplica

if TYPE_CHECKING:
    from tests.integration.replicas.conftest import Stage


async def serve(port: int = 0) -> tuple[web.AppRunner, int]:
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, runner.addresses[0][1]


@pytest.mark.parametrize(
    ("model_url", "predict_url"),
    [
        ("http://model:80", "http://model:80/v1/models/model:predict"),
        ("http://model/", "http://model/v1/models/model:predict"),
        ("http://model/my/predict?v=2", "http://model/my/predict?v=2"),
    ],
)
def test_path_of_the_url_is_kept_and_else_that_of_the_truss_server(model_url: str, predict_url: str) -> None:
    assert (
        UrlReplica("replica-1", model_url, http=HttpCalls(), clock=SYSTEM_CLOCK, report=print).predict_url
        == predict_url
    )


@pytest.mark.parametrize("path", ["", "/", "/my/predict?v=2"])
def test_custom_routes_hang_on_the_servers_root(path: str) -> None:
    replica = UrlReplica(
        "replica-1", f"http://model:80{path}", http=HttpCalls(), clock=SYSTEM_CLOCK, report=print
    )
    assert replica.base_url == "http://model:80"


def test_replica_starts_when_the_server_answers_and_is_gone_when_it_is(stage: Stage) -> None:
    async def main() -> None:
        runner, port = await serve()
        await runner.cleanup()
        said: asyncio.Queue[str] = asyncio.Queue()
        replica = UrlReplica(
            "replica-1",
            f"http://127.0.0.1:{port}",
            http=HttpCalls(),
            clock=SYSTEM_CLOCK,
            report=said.put_nowait,
        )
        starting = asyncio.create_task(replica.start())
        told = await said.get()
        assert told == f"{replica.waits_for}; requests are kept waiting"
        assert f"nothing answers at http://127.0.0.1:{port}/ yet (Connection refused)" in told
        assert not starting.done()
        runner, _ = await serve(port)
        await starting  # a 404 is an answer
        assert replica.waits_for is None
        gone = asyncio.create_task(replica.wait_exit(on_traffic=print))
        await runner.cleanup()
        assert "no longer answers" in await gone
        await replica.stop()

    stage.run(main())


@pytest.mark.parametrize(
    ("model_url", "websocket_url"),
    [
        ("http://x:1", "http://x:1/v1/websocket"),
        ("http://x:1/", "http://x:1/v1/websocket"),
        ("http://x:1/v1/models/model:predict", "http://x:1/v1/websocket"),
        ("http://x:1/talk?a=b", "http://x:1/talk?a=b"),
    ],
)
def test_a_websocket_is_at_the_path_that_was_given_or_where_the_truss_server_has_it(
    model_url: str, websocket_url: str
) -> None:
    replica = UrlReplica("replica-1", model_url, http=HttpCalls(), clock=SYSTEM_CLOCK, report=print)
    assert replica.websocket_url == websocket_url
