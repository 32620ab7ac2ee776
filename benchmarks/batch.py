"""What a batch, and one awaited result, cost beside the bare calls that they are made of, in the same run."""

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from truss_async import AsyncPlatformClient, Batch, BatchSettings
from truss_async.client import Inbox
from truss_async.webhooks import WebhookReceiver

from .harness import CALM_PER_SECOND, CALM_REQUESTS, CONNECTIONS, SUBMIT, body
from .load import WARM_UP, Receiver, post_calmly, post_many
from .report import Figure
from .servers import Server, started

LINES = 5000
ROUNDS = 3
LIFTED_RATE = 1_000_000


def submit_alone(server: Server) -> float:
    """Requests a second that are accepted, with nothing done about their results."""
    load = asyncio.run(post_many(f"{server.url}/{SUBMIT}", body(), count=LINES, connections=CONNECTIONS))
    return load.per_second


def batch(server: Server, folder: Path) -> float:
    """Lines a second, from reading the input to the last row of the output."""
    folder.mkdir()
    line = json.dumps({"text": "x" * 900})
    (folder / "in.jsonl").write_text(f"{line}\n" * LINES)
    settings = BatchSettings(
        input=str(folder / "in.jsonl"),
        out=str(folder / "out.jsonl"),
        url=server.url,
        receive=True,
        rate=LIFTED_RATE,
    )
    begun = time.perf_counter()
    end = asyncio.run(Batch(settings, api_key="k").run())
    assert end.progress.done == LINES
    return LINES / (time.perf_counter() - begun)


def throughput(folder: Path) -> list[Figure]:
    """Both on one harness, in turns."""
    with started("harness", f"{folder}/state") as server:
        rounds = [(submit_alone(server), batch(server, folder / f"{number}")) for number in range(ROUNDS)]
    alone, whole = (max(each) for each in zip(*rounds, strict=True))
    return [
        Figure("submit alone, requests a second", alone),
        Figure("batch with a receiver of its own, share of submit alone", whole / alone, "", 0.12, 0.30),
    ]


async def run_calmly(url: str, endpoint: str, inbox: Path) -> float:
    """The median of how long ``await run()`` takes, in milliseconds."""
    taken: list[float] = []
    async with AsyncPlatformClient(url, api_key="k", inbox=inbox) as client:
        for _ in range(WARM_UP + CALM_REQUESTS):
            begun = time.perf_counter()
            await client.run({"text": "x" * 900}, webhook_endpoint=endpoint)
            taken.append(time.perf_counter() - begun)
    return 1000 * statistics.median(taken[WARM_UP:])


def awaited(folder: Path) -> list[Figure]:
    """One result at a time, from an inbox."""
    (folder / "inbox").mkdir()
    inbox = Inbox(folder / "inbox")

    def on_delivery(delivery: Any) -> None:
        inbox.keep(delivery.result.request_id, delivery.body)

    async def webhook(url: str) -> float:
        async with Receiver() as receiver:
            target, sent = f"{url}/{SUBMIT}", body(receiver.url)
            load = await post_calmly(
                target, sent, count=CALM_REQUESTS, per_second=CALM_PER_SECOND, receiver=receiver
            )
            return load.p50_ms

    with started("harness", f"{folder}/calm") as server:
        floor = asyncio.run(webhook(server.url))
        with WebhookReceiver(on_delivery=on_delivery, keep=0) as receiver:
            whole = asyncio.run(run_calmly(server.url, receiver.url, folder / "inbox"))
    return [
        Figure("submit → webhook, p50", floor, "ms"),
        Figure("await run() from an inbox, added to that, p50", whole - floor, "ms", 20, 8, at_most=True),
    ]


def measure() -> list[Figure]:
    """Every figure, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        return [*throughput(Path(name)), *awaited(Path(name))]
