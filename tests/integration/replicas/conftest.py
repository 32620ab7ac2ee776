"""Real Truss servers, driven from synchronous tests on the event loop that the harness uses."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import uvloop
import yaml

from truss_async.clock import SYSTEM_CLOCK
from truss_async.replicas.factory import make_replicas
from truss_async.replicas.host import ReplicaHost
from truss_async.replicas.http_calls import HttpCalls
from truss_async.replicas.logs import render_log_line
from truss_async.replicas.pool import ReplicaPool
from truss_async.replicas.protocol import Replica, ReplicaCall
from truss_async.replicas.settings import DeploymentSettings

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")
DEADLINE_SECONDS = 120


class Stage:
    """Makes trusses and replicas in one folder; what the replicas and the pool said is kept.

    They run in the environment of the tests, unless told to install: coverage is measured there, and no time is lost.
    """

    def __init__(self, folder: Path, loop: asyncio.AbstractEventLoop) -> None:
        self.folder = folder
        self.loop = loop
        self.reported: list[str] = []
        self.logged: list[str] = []
        self.news = threading.Condition()
        self.http = HttpCalls()
        self._started: list[Replica] = []
        self._pools: list[ReplicaPool] = []

    def truss(self, model: str, /, name: str = "truss", **config: Any) -> Path:
        folder = self.folder / name
        (folder / "model").mkdir(parents=True, exist_ok=True)
        (folder / "model" / "model.py").write_text(model)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        return folder

    def replicas(
        self, truss_dir: Path, *, variables: Mapping[str, str] | None = None, **settings: Any
    ) -> Sequence[Replica]:
        made, self.concurrency = make_replicas(
            DeploymentSettings(truss_dir=truss_dir, **{"install": False, **settings}),
            ReplicaHost(
                workdir=self.folder / "work",
                http=self.http,
                report=lambda line: self._note(self.reported, line),
                on_line=lambda line: self._note(self.logged, render_log_line(line, now=SYSTEM_CLOCK.now())),
                environment=variables or {},
            ),
        )
        self._started += made
        return made

    def started(self, truss_dir: Path, **settings: Any) -> Replica:
        (replica,) = self.replicas(truss_dir, **settings)
        self.run(replica.start())
        return replica

    def pool(self, replicas: Sequence[Replica]) -> ReplicaPool:
        pool = ReplicaPool(
            replicas,
            concurrency=self.concurrency,
            clock=SYSTEM_CLOCK,
            report=lambda line: self._note(self.reported, line),
            on_capacity=lambda: None,
        )
        self._pools.append(pool)
        self.run(pool.start())
        return pool

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            return future.result(DEADLINE_SECONDS)
        finally:
            future.cancel()

    def predict(self, replica: Replica, model_input: object, **headers: str) -> Any:
        async def post() -> Any:
            body = json.dumps(model_input).encode()
            sent = (("Content-Type", "application/json"), *headers.items())
            return json.loads(await (await replica.call(ReplicaCall(sent, body))).read())

        return self.run(post())

    async def post(self, url: str) -> None:
        """A call from outside of whatever listens there."""
        call = ReplicaCall((("Content-Type", "application/json"),), b"1")
        await (await self.http.send(call, predict_url=url, base_url="")).read()

    def wait_for_line(self, lines: list[str], part: str, *, times: int = 1) -> None:
        with self.news:
            seen = self.news.wait_for(
                lambda: sum(part in line for line in lines) >= times, timeout=DEADLINE_SECONDS
            )
        assert seen, f"{part!r} not in {lines}"

    def close(self) -> None:
        for pool in self._pools:
            self.run(pool.stop())
        for replica in self._started:
            self.run(replica.stop())
        self.run(self.http.close())

    def _note(self, lines: list[str], line: str) -> None:
        with self.news:
            lines.append(line)
            self.news.notify_all()


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = uvloop.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join(DEADLINE_SECONDS)
    running.close()


@pytest.fixture
def stage(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> Iterator[Stage]:
    made = Stage(tmp_path, loop)
    yield made
    made.close()
