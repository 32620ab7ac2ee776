"""``python -m benchmarks``: print a table, and write it as JSON to benchmarks/results/."""

import asyncio
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from .load import Load, Receiver, post_many

ACCEPTED = 6000
DELIVERED = 2000
CONNECTIONS = 32
RESULTS = Path(__file__).parent / "results"
COMMAND = str(Path(sys.executable).with_name("truss-async"))


@contextmanager
def server(*command: str) -> Iterator[str]:
    """Start a server that says where it listens; yield its URL."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        yield line.removeprefix("listening on ").strip()
    finally:
        process.terminate()
        process.wait(30)


def body(webhook: str | None = None) -> bytes:
    """An async request of about a kilobyte."""
    fields = {"model_input": {"text": "x" * 900}, "webhook_endpoint": webhook}
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


async def submit_to_webhook(url: str) -> Load:
    """From the first submission to the last webhook."""
    async with Receiver() as receiver:
        started = time.perf_counter()
        load = await post_many(
            f"{url}/production/async_predict", body(receiver.url), count=DELIVERED, connections=CONNECTIONS
        )
        await receiver.wait_for(DELIVERED, timeout_seconds=120)
        return Load(DELIVERED / (time.perf_counter() - started), load.p50_ms, load.p99_ms)


async def accept(url: str) -> Load:
    """Accepted requests alone."""
    return await post_many(f"{url}/production/async_predict", body(), count=ACCEPTED, connections=CONNECTIONS)


def measure() -> list[tuple[str, Load]]:
    """Run every measurement, one after the other, the floor first."""
    rows: list[tuple[str, Load]] = []
    with server(sys.executable, "-m", "benchmarks.servers", "bare") as bare:
        rows.append(("bare endpoint", asyncio.run(accept(bare))))
    with (
        tempfile.TemporaryDirectory() as folder,
        server(sys.executable, "-m", "benchmarks.servers", "echo") as echo,
    ):
        harness = (COMMAND, "serve", "--model-url", echo, "--port", "0", "--limits", "none", "--state-dir")
        with server(*harness, f"{folder}/accept") as url:
            rows.append(("accepted and durable", asyncio.run(accept(url))))
        with server(*harness, f"{folder}/deliver") as url:
            rows.append(("submit → webhook, one slot", asyncio.run(submit_to_webhook(url))))
    return rows


def main() -> None:
    """Measure, print, write."""
    rows = measure()
    floor = rows[0][1].per_second
    table = Table("figure", "per second", "share of the bare endpoint", "p50 ms", "p99 ms")
    for name, load in rows:
        table.add_row(
            name,
            f"{load.per_second:,.0f}",
            f"{load.per_second / floor:.2f}",
            f"{load.p50_ms:.1f}",
            f"{load.p99_ms:.1f}",
        )
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(timezone.utc)
    record = {
        "time": now.isoformat(),
        "python": platform.python_version(),
        "truss_async": version("truss-async"),
        "figures": {name: {**vars(load), "share": load.per_second / floor} for name, load in rows},
    }
    file = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(record, indent=2))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


if __name__ == "__main__":
    if sys.argv[1:] == ["stores"]:
        from . import stores

        sys.exit(stores.main())
    main()
