"""The harness beside a bare endpoint, and beside the model server alone, in the same run.

Each share is of the best of several rounds, taken in turns: what else the machine does only ever slows a round down.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from .load import HEADERS, Load, Receiver, post_calmly, post_many
from .report import Figure
from .servers import TRUSS_CONCURRENCY, Server, started

CONNECTIONS = 32
REQUESTS = 3000
QUEUED = 50_000
CALM_REQUESTS, CALM_PER_SECOND = 100, 10
ROUNDS = 5
CALM_ROUNDS = 3
SUBMIT = "production/async_predict"
COMMAND = str(Path(sys.executable).with_name("truss-async"))


def body(webhook: str | None = None) -> bytes:
    """An async request of about a kilobyte."""
    return json.dumps({"model_input": {"text": "x" * 900}, "webhook_endpoint": webhook}).encode()


def accept(server: Server, *, requests: int = REQUESTS) -> Load:
    """Requests that are accepted, and no more."""
    return asyncio.run(post_many(f"{server.url}/{SUBMIT}", body(), count=requests, connections=CONNECTIONS))


def submit_to_webhook(server: Server) -> float:
    """Requests a second, from the first submission to the last webhook."""

    async def run() -> float:
        async with Receiver() as receiver:
            begun = time.perf_counter()
            await post_many(
                f"{server.url}/{SUBMIT}", body(receiver.url), count=REQUESTS, connections=CONNECTIONS
            )
            await receiver.wait_for(REQUESTS, timeout_seconds=120)
            return REQUESTS / (time.perf_counter() - begun)

    return asyncio.run(run())


def best(*measures: Callable[[], float]) -> list[float]:
    """The highest of each, over all rounds."""
    return [
        max(values)
        for values in zip(*([measure() for measure in measures] for _ in range(ROUNDS)), strict=True)
    ]


def throughput(folder: Path) -> list[Figure]:
    """What is accepted, and what is delivered, as a share of a bare endpoint; and what it takes."""
    processor: list[float] = []
    with (
        started("bare") as bare,
        started("stuck harness", f"{folder}/accept") as accepting,
        started("stuck harness", f"{folder}/full", "full") as synced,
        started("harness", f"{folder}/deliver") as delivering,
    ):
        at_rest = delivering.resident_mb()

        def deliver() -> float:
            before = delivering.cpu_seconds()
            per_second = submit_to_webhook(delivering)
            processor.append((delivering.cpu_seconds() - before) / REQUESTS * 1e6)
            return per_second

        floor, accepted, durable, delivered = best(
            lambda: accept(bare).per_second,
            lambda: accept(accepting).per_second,
            lambda: accept(synced).per_second,
            deliver,
        )
    return [
        Figure("bare endpoint, requests a second", floor),
        Figure("accepted and durable, share of the bare endpoint", accepted / floor, "", 0.55, 0.65),
        Figure("accepted with --durability full, share", durable / floor, "", 0.10, 0.20),
        Figure("submit → webhook, in-process replica, share", delivered / floor, "", 0.20, 0.25),
        Figure("processor time a request, all harness work", min(processor), "µs", 300, 150, at_most=True),
        Figure("resident memory at rest", at_rest, "MB", 80, 64, at_most=True),
    ]


def with_truss(folder: Path) -> list[Figure]:
    """The real Truss server behind the harness, as a share of what it does alone."""
    with started("truss") as truss:
        harness = (COMMAND, "serve", "--model-url", truss.url, "--port", "0", "--limits", "none")
        concurrency = ("--predict-concurrency", str(TRUSS_CONCURRENCY), "--state-dir", f"{folder}/truss")
        predict = f"{truss.url}/v1/models/model:predict"

        def alone() -> float:
            return asyncio.run(
                post_many(predict, body(), count=REQUESTS, connections=TRUSS_CONCURRENCY)
            ).per_second

        with started(*harness, *concurrency) as server:
            floor, behind = best(alone, lambda: submit_to_webhook(server))
    return [
        Figure("Truss server alone, requests a second", floor),
        Figure("submit → webhook behind the harness, share", behind / floor, "", 0.80, 0.90),
    ]


def latency(folder: Path) -> list[Figure]:
    """From submission to webhook without haste, beside a bare POST at the same pace."""

    async def post(url: str) -> Load:
        return await post_calmly(f"{url}/{SUBMIT}", body(), count=CALM_REQUESTS, per_second=CALM_PER_SECOND)

    async def until_webhook(url: str) -> Load:
        async with Receiver() as receiver:
            return await post_calmly(
                f"{url}/{SUBMIT}",
                body(receiver.url),
                count=CALM_REQUESTS,
                per_second=CALM_PER_SECOND,
                receiver=receiver,
            )

    with started("bare") as bare, started("harness", f"{folder}/calm") as server:
        rounds = [
            (asyncio.run(post(bare.url)), asyncio.run(until_webhook(server.url))) for _ in range(CALM_ROUNDS)
        ]
    figures = []
    for name, of in (("p50", lambda load: load.p50_ms), ("p99", lambda load: load.p99_ms)):
        posted, delivered = (min(map(of, loads)) for loads in zip(*rounds, strict=True))
        figures += [
            Figure(f"bare POST at 10 a second, {name}", posted, "ms"),
            Figure(f"submit → webhook at 10 a second, {name}", delivered, "ms"),
            Figure(f"the same, against the bare POST, {name}", delivered / posted, "×", 2, 1.5, at_most=True),
        ]
    return figures


def long_queue(folder: Path) -> list[Figure]:
    """What many queued requests cost those that come."""
    with started("stuck harness", f"{folder}/queue") as server:
        empty = min(accept(server).p99_ms for _ in range(ROUNDS))
        accept(server, requests=QUEUED - ROUNDS * REQUESTS)
        memory = server.resident_mb()
        full = min(accept(server).p99_ms for _ in range(ROUNDS))
    return [
        Figure("accept p99 with 50,000 queued, against few", full / empty, "×", 1.5, 1.1, at_most=True),
        Figure("resident memory with 50,000 queued", memory, "MB", 200, 120, at_most=True),
    ]


def start(folder: Path) -> list[Figure]:
    """From the command to the first accepted request, the model server not counted."""
    with started("echo") as echo:
        took = min(_first_accepted(echo.url, folder / f"start-{number}") for number in range(ROUNDS))
    return [Figure("start to the first 201", took, "s", 0.8, 0.5, at_most=True)]


def _first_accepted(model_url: str, state_dir: Path) -> float:
    begun = time.perf_counter()
    with started(
        COMMAND, "serve", "--model-url", model_url, "--port", "0", "--state-dir", str(state_dir)
    ) as server:
        httpx.post(f"{server.url}/{SUBMIT}", content=body(), headers=HEADERS).raise_for_status()
        return time.perf_counter() - begun


def measure() -> list[Figure]:
    """Every figure, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            figure for part in (throughput, with_truss, latency, long_queue, start) for figure in part(folder)
        ]
