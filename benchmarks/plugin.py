"""What the plugin adds to a request of the real Truss server. ``python -m benchmarks plugin``.

Two servers run the same model, one with the plugin and a store in memory; each request to one is followed by one to
the other, so that whatever else the machine does meets both alike.
"""

import asyncio
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from truss_async.clock import SYSTEM_CLOCK
from truss_async.harness.replicas import make_replicas
from truss_async.harness.settings import HarnessSettings

from .report import Figure

ROUNDS = 1500
WARM_UP = 200
BODY = json.dumps({"text": "x" * 900}).encode()
CONFIG = {
    "model_name": "bench",
    "model_metadata": {"async_output": {"url": "memory://bench"}},
    "runtime": {"predict_concurrency": 8},
}
MODEL = """
from truss_async import AsyncOutputModel

class Model({base}):
    {define} predict(self, model_input):
        return {{"echo": model_input}}
"""
POSTPROCESS = """
    {define} postprocess(self, output):
        return output
"""
SHAPES = {
    "sync predict": MODEL.replace("{define}", "def"),
    "async predict": MODEL.replace("{define}", "async def"),
    "sync predict, postprocess": (MODEL + POSTPROCESS).replace("{define}", "def"),
    "async predict, postprocess": (MODEL + POSTPROCESS).replace("{define}", "async def"),
}


@asynccontextmanager
async def model_server(source: str, folder: Path) -> AsyncIterator[str]:
    """The address of the Truss server that serves this model."""
    (folder / "truss" / "model").mkdir(parents=True)
    (folder / "truss" / "config.yaml").write_text(json.dumps(CONFIG))
    (folder / "truss" / "model" / "model.py").write_text(source)
    [replica], _ = make_replicas(
        HarnessSettings(truss_dir=folder / "truss"),
        workdir=folder,
        clock=SYSTEM_CLOCK,
        report=lambda _: None,
        log=lambda _: None,
    )
    await replica.start()
    try:
        yield urlsplit(replica.base_url).netloc
    finally:
        await replica.stop()


def call(connection: http.client.HTTPConnection, number: int) -> float:
    """Milliseconds that one request takes."""
    headers = {"x-baseten-request-id": f"r{number % 100}", "Content-Type": "application/json"}
    started = time.perf_counter()
    connection.request("POST", "/v1/models/model:predict", BODY, headers)
    answer = connection.getresponse()
    answer.read()
    taken = time.perf_counter() - started
    if answer.status != 200:
        raise RuntimeError(f"the model server answered {answer.status}")
    return 1000 * taken


def interleaved(addresses: list[str]) -> list[list[float]]:
    """For each server, how long each of its requests took."""
    connections = [http.client.HTTPConnection(address, timeout=30) for address in addresses]
    rounds = [[call(each, number) for each in connections] for number in range(WARM_UP + ROUNDS)]
    for each in connections:
        each.close()
    return [list(column) for column in zip(*rounds[WARM_UP:], strict=True)]


async def p50s(shape: str) -> tuple[float, float]:
    """The p50 of a request without the plugin, and with it, in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        async with AsyncExitStack() as servers:
            addresses = [
                await servers.enter_async_context(model_server(shape.format(base=base), Path(name, base)))
                for base in ("object", "AsyncOutputModel")
            ]
            without, with_plugin = await asyncio.to_thread(interleaved, addresses)
    return statistics.median(without), statistics.median(with_plugin)


def measure() -> list[Figure]:
    """For each shape of model, the request without the plugin, and what the plugin adds."""
    figures = []
    for name, shape in SHAPES.items():
        without, with_plugin = asyncio.run(p50s(shape))
        added = with_plugin - without
        figures += [
            Figure(f"{name}: a request, p50", without, "ms"),
            Figure(f"{name}: the plugin adds", added, "ms", 0.5, 0.2, at_most=True),
        ]
    return figures
