"""The unmodified Truss server, started on a model given as source text."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from truss_async.clock import SYSTEM_CLOCK
from truss_async.replicas.context import build_context
from truss_async.replicas.output import ServerOutput
from truss_async.replicas.server_process import ServerFolders, ServerProcess
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from truss_async.contract import AsyncPredictResult
    from truss_async.replicas.logs import ReplicaLogLine

DEADLINE_SECONDS = 20
BARE_MODEL = "class Model:\n    def predict(self, model_input):\n        return model_input\n"


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Return once the condition holds; fail the test when it does not in time."""
    for _ in range(DEADLINE_SECONDS * 100):
        if condition():
            return
        SYSTEM_CLOCK.block(0.01)
    raise AssertionError(f"not in {DEADLINE_SECONDS} s: {what}")


class BackgroundLoop:
    """An event loop in a thread, for tests that are written without one."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any], *, seconds: float = 2 * DEADLINE_SECONDS) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@dataclass
class Answer:
    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ModelServer:
    """A running server. Its outputs go to ``store``; ``folder`` is for what test and model tell each other."""

    loop: BackgroundLoop
    folder: Path
    environment: dict[str, str]
    log: list[ReplicaLogLine] = field(default_factory=list)
    process: ServerProcess | None = None

    @classmethod
    def in_folder(cls, folder: Path, loop: BackgroundLoop, environment: dict[str, str]) -> ModelServer:
        folder.mkdir()
        server = cls(loop, folder, environment)
        environment.setdefault("TRUSS_ASYNC_OUTPUT_URL", server.store_url)
        return server

    @property
    def store_url(self) -> str:
        return (self.folder / "store").as_uri()

    def result(self, request_id: str) -> AsyncPredictResult:
        return OutputStore.from_url(self.store_url).get(request_id)

    def stored_files(self) -> list[str]:
        root = self.folder / "store"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def logged(self, text: str) -> list[ReplicaLogLine]:
        return [line for line in self.log if text in line.message]

    def wait_for_log(self, text: str) -> ReplicaLogLine:
        """The first line with that text; it may reach us after the answer does."""
        wait_until(lambda: bool(self.logged(text)), f"the log says {text!r}")
        return self.logged(text)[0]

    def start(self, image: Path, source: str, config: dict[str, Any]) -> None:
        app = self.folder / "app"
        shutil.copytree(image, app)
        server_config = json.loads((app / "config.yaml").read_text()) | config
        (app / "config.yaml").write_text(json.dumps(server_config))
        (app / "model" / "model.py").write_text(source)
        self.process = self.loop.run(self._launch(app))

    def start_truss(self, truss: Path) -> None:
        """Serve a whole truss, with the packages that it brings."""
        context = self.loop.run(build_context(truss, into=self.folder / "image"))
        self.process = self.loop.run(self._launch(context.app_dir, context.packages_dir), seconds=90)

    async def _launch(self, app: Path, packages_dir: Path | None = None) -> ServerProcess:
        output = ServerOutput("replica", log=self.log.append, clock=SYSTEM_CLOCK)
        folders = ServerFolders(
            app_dir=str(app),
            secrets_dir=str(self.folder / "secrets"),
            dynamic_config_dir=str(self.folder),
            crash_file=str(self.folder / "crashed"),
            packages_dir=None if packages_dir is None else str(packages_dir),
            plugin_dir=None,
        )
        process = await ServerProcess.launch(
            Path(sys.executable),
            folders,
            run_dir=self.folder,
            environment={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **self.environment},
            output=output,
        )
        try:
            await process.wait_loaded(clock=SYSTEM_CLOCK)
        except BaseException:
            await process.stop(grace_seconds=1, clock=SYSTEM_CLOCK)
            raise
        return process

    def stop(self) -> None:
        if self.process is not None:
            self.loop.run(self.process.stop(grace_seconds=5, clock=SYSTEM_CLOCK))

    def reload(self, source: str) -> None:
        """Give the running server another model, through its own hot reload; an empty store, an empty log."""
        store = self.folder / "store"
        if store.is_file():
            store.unlink()
        shutil.rmtree(store, ignore_errors=True)
        (self.folder / "app" / "model" / "model.py").write_text(source)
        answer = self.post("/hot-reload", b"")
        assert answer.status == 200, answer.body
        self.wait_for_log("Hot reload complete")
        self.log.clear()

    def predict(self, model_input: Any, request_id: str | None = None, **headers: str) -> Answer:
        return self.post(
            "/v1/models/model:predict", json.dumps(model_input).encode(), request_id=request_id, **headers
        )

    def post(self, path: str, body: bytes, *, request_id: str | None = None, **headers: str) -> Answer:
        if request_id is not None:
            headers["x-baseten-request-id"] = request_id
        return self._call("POST", path, body, headers)

    def get(self, path: str) -> Answer:
        return self._call("GET", path, None, {})

    def abandon(self, model_input: Any, request_id: str) -> None:
        """Make a call, give up once ``folder/started`` shows that predict runs, then let predict go on.

        The model waits for the end of ``folder/gate``, a named pipe.
        """
        started, gate = self.folder / "started", self.folder / "gate"
        os.mkfifo(gate)
        body = json.dumps(model_input).encode()
        head = (
            "POST /v1/models/model:predict HTTP/1.1\r\nHost: model\r\n"
            f"Content-Length: {len(body)}\r\nx-baseten-request-id: {request_id}\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", self._port)) as connection:
            connection.sendall(head.encode() + body)
            wait_until(started.exists, "predict starts")
        # The server reads its connections in turn: once it has answered two calls, it has seen the hang-up.
        assert self.get("/").status == self.get("/").status == 200
        gate.write_text("go on")
        started.unlink()
        gate.unlink()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def _port(self) -> int:
        assert self.process is not None
        return self.process.port

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=DEADLINE_SECONDS)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(), dict(response.getheaders()))
        finally:
            connection.close()


async def build_image(folder: Path) -> Path:
    """The app folder of a truss that has nothing special; its config as JSON, which is YAML too."""
    truss = folder / "truss"
    (truss / "model").mkdir(parents=True)
    (truss / "config.yaml").write_text("model_name: test\n")
    (truss / "model" / "model.py").write_text(BARE_MODEL)
    context = await build_context(truss, into=folder / "image")
    (context.app_dir / "config.yaml").write_text(json.dumps(dict(context.config)))
    return context.app_dir
