"""What the plugin adds to a request of the real Truss server.

Two servers run the same model, one with the plugin and a store in memory; each request to one is followed by one to
the other, so that whatever else the machine does meets both alike.
"""

import http.client
import json
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from .report import Figure
from .servers import started

REQUESTS = 1500
WARM_UP = 200
REQUEST_IDS = 100
BODY = json.dumps({"text": "x" * 900}).encode()
MODEL = """
from truss_async import AsyncOutputModel

class Model({base}):
    output_url = "memory://benchmark"

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
    "sync predict and postprocess": (MODEL + POSTPROCESS).replace("{define}", "def"),
    "async predict and postprocess": (MODEL + POSTPROCESS).replace("{define}", "async def"),
}


def call(connection: http.client.HTTPConnection, number: int) -> float:
    """Milliseconds that one request takes."""
    headers = {"x-baseten-request-id": f"r{number % REQUEST_IDS}", "Content-Type": "application/json"}
    begun = time.perf_counter()
    connection.request("POST", "/v1/models/model:predict", BODY, headers)
    answer = connection.getresponse()
    answer.read()
    taken = time.perf_counter() - begun
    if answer.status != 200:
        raise RuntimeError(f"the model server answered {answer.status}")
    return 1000 * taken


def interleaved(urls: list[str]) -> list[float]:
    """The p50 of a request to each server, in milliseconds."""
    connections = [http.client.HTTPConnection(urlsplit(url).netloc, timeout=30) for url in urls]
    rounds = [[call(each, number) for each in connections] for number in range(WARM_UP + REQUESTS)]
    for each in connections:
        each.close()
    return [statistics.median(column) for column in zip(*rounds[WARM_UP:], strict=True)]


def measure() -> list[Figure]:
    """For each shape of model, a request without the plugin, and what the plugin adds."""
    figures = []
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
            urls = []
            for base in ("object", "AsyncOutputModel"):
                file = Path(folder, base)
                file.write_text(shape.format(base=base))
                urls.append(servers.enter_context(started("truss", str(file))).url)
            without, with_plugin = interleaved(urls)
        figures += [
            Figure(f"{name}: a request, p50", without, "ms"),
            Figure(f"{name}: the plugin adds", with_plugin - without, "ms", 0.5, 0.2, at_most=True),
        ]
    return figures
