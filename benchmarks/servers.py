"""What is measured, and what against, each as a process: ``python -m benchmarks.servers NAME …``.

A server says where it listens in its first line, and ends with SIGTERM.
"""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from truss_async import Harness, HarnessSettings
from truss_async.harness.harness import spare_the_collector

CONCURRENCY = 32
TRUSS_CONCURRENCY = 16
SLOW_CONCURRENCY, SLOW_SECONDS = 4, 0.1
TRUSS_MODEL = """
class Model:
    async def predict(self, model_input):
        return model_input
"""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    url: str
    process: psutil.Process

    def cpu_seconds(self) -> float:
        """The processor time that it has taken so far."""
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def resident_mb(self) -> float:
        """Its resident memory, in 10^6 bytes."""
        return float(self.process.memory_info().rss) / 1e6


@contextmanager
def started(*command: str, folder: Path | None = None) -> Iterator[Server]:
    """Start a server by its command, in a folder if need be; one of this module's by its name and arguments."""
    if not Path(command[0]).is_absolute():
        command = (sys.executable, "-m", "benchmarks.servers", *command)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=folder
    ) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            yield Server(line.removeprefix("listening on ").strip(), psutil.Process(process.pid))
        finally:
            process.terminate()


async def accept(request: Request) -> Response:
    """The least that any endpoint for async requests does: read the body, parse it, answer an id."""
    json.loads(await request.body())
    return JSONResponse({"request_id": uuid4().hex}, status_code=201)


async def echo(request: Request) -> Response:
    """A model that takes no time."""
    return Response(await request.body(), media_type="application/json")


def serve_application(*routes: Route) -> None:
    """Serve with uvicorn, as lean as it gets."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(
        Starlette(routes=routes), http="httptools", loop="uvloop", log_config=None, access_log=False
    )
    print(f"listening on http://127.0.0.1:{listening.getsockname()[1]}", flush=True)
    uvloop.run(uvicorn.Server(config).serve(sockets=[listening]))


def serve_bare() -> None:
    """The floor: a bare endpoint."""
    serve_application(Route("/production/async_predict", accept, methods=["POST"]))


def serve_echo() -> None:
    """A model server that does nothing."""
    serve_application(
        Route("/", lambda _: Response()), Route("/v1/models/model:predict", echo, methods=["POST"])
    )


async def answer_at_once(model_input: Any) -> Any:
    """A model in the harness's own process that takes no time."""
    return model_input


async def never_answer(_: Any) -> Any:
    """A model that leaves everything behind its first requests in the queue."""
    await asyncio.Event().wait()


async def answer_slowly(model_input: Any) -> Any:
    """A model that is the limit, whatever the machine."""
    await asyncio.sleep(SLOW_SECONDS)
    return model_input


MODELS = {
    "instant": (answer_at_once, CONCURRENCY),
    "stuck": (never_answer, CONCURRENCY),
    "slow": (answer_slowly, SLOW_CONCURRENCY),
}
"""The models of nodes, and how many calls each takes at once."""


def serve_node(state: str, schema: str, model: str) -> None:
    """One of several harnesses on a database."""
    served, at_once = MODELS[model]
    serve_harness(served, predict_concurrency=at_once, state=state, state_schema=schema, model_id=model)


def serve_harness(model: Any, **settings: Any) -> None:
    """A harness on a model in its own process."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with Harness(
        HarnessSettings(
            **{"model": model, "predict_concurrency": CONCURRENCY, "port": 0, "limits": "none", **settings}
        ),
        stories=False,
    ) as harness:
        spare_the_collector()  # as the command serve does
        print(f"listening on {harness.url}", flush=True)
        ended.wait()


def serve_truss(model: str = TRUSS_MODEL) -> None:
    """The real Truss server with this model.py, by default one that does nothing, as a harness starts it."""
    with tempfile.TemporaryDirectory() as folder:
        truss = Path(folder, "truss")
        (truss / "model").mkdir(parents=True)
        (truss / "model" / "model.py").write_text(model)
        (truss / "config.yaml").write_text(f"runtime:\n  predict_concurrency: {TRUSS_CONCURRENCY}\n")
        asyncio.run(_run_replica(truss, Path(folder, "work")))


def _hush(_: object) -> None:
    """Nobody reads what a benchmark's servers say."""


async def _run_replica(truss: Path, workdir: Path) -> None:
    from truss_async.replicas.factory import make_replicas
    from truss_async.replicas.host import ReplicaHost
    from truss_async.replicas.settings import DeploymentSettings
    from truss_async.replicas.truss_replica import ProcessReplica

    host = ReplicaHost(workdir=workdir, report=_hush, on_line=_hush)
    (replica,), _ = make_replicas(DeploymentSettings(truss_dir=truss, install=False), host)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    if not isinstance(replica, ProcessReplica):
        raise TypeError("a truss folder is served by a process")
    await replica.start()
    try:
        print(f"listening on {replica.base_url}", flush=True)
        await ended.wait()
    finally:
        await replica.stop()


def main(name: str, *arguments: str) -> None:
    """Serve by name."""
    match name, arguments:
        case "bare", []:
            serve_bare()
        case "echo", []:
            serve_echo()
        case "harness", [state_dir]:
            serve_harness(answer_at_once, state_dir=state_dir)
        case "stuck harness", [state_dir, *durability]:
            serve_harness(never_answer, state_dir=state_dir, durability="full" if durability else "process")
        case "node", [state, schema, model]:
            serve_node(state, schema, model)
        case "truss", []:
            serve_truss()
        case "truss", [model_file]:
            serve_truss(Path(model_file).read_text())
        case _:
            raise SystemExit(f"no such server: {name} {' '.join(arguments)}")


if __name__ == "__main__":
    main(*sys.argv[1:])
