"""``python -m benchmarks stores``: what saving costs beside a bare ``put_object``, on a real S3 server."""

import itertools
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client
from rich.console import Console
from rich.table import Table

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo.s3_server import S3Server
from truss_async.model.destination import Destinations
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.stores import object_store

from .slow_link import slow_link

RESULTS = Path(__file__).parent / "results"
BUCKET = "benchmark"
THREADS = 8
ROUNDS = 7
SAVES = {1_000: 400, 100_000: 300}
SNIPPET_SAVES = 60
ARTIFACT_BYTES = 256_000_000
ROUND_TRIP_MS, MEGABYTES_PER_SECOND = 20, 20
LINK = f"{ROUND_TRIP_MS} ms, {MEGABYTES_PER_SECOND} MB/s a connection"

Save = Callable[[], object]


@dataclass(frozen=True)
class Pace:
    """What a number of saves came to."""

    per_second: float
    cpu_ms: float


@dataclass(frozen=True)
class Row:
    """One figure: a ratio, and what it has to be."""

    name: str
    measured: str
    floor: str
    ratio: float
    must: float
    aim: float
    is_better_lower: bool = False

    @property
    def is_reached(self) -> bool:
        """Whether it is as it must be."""
        return self.ratio <= self.must if self.is_better_lower else self.ratio >= self.must


def pace_of(save: Save, count: int) -> Pace:
    """So many saves, by several threads."""
    with ThreadPoolExecutor(THREADS) as pool:
        cpu, started = time.process_time(), time.perf_counter()
        for each in [pool.submit(save) for _ in range(count)]:
            each.result()
        elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
    return Pace(count / elapsed, 1000 * cpu / count)


def side_by_side(ways: dict[str, tuple[Save, int]]) -> dict[str, Pace]:
    """The median pace of each way; they take turns, so that a noisy moment hits all of them."""
    rounds = []
    for number in range(ROUNDS + 1):
        paces = {name: pace_of(save, count) for name, (save, count) in ways.items()}
        if number:  # the first one warms up
            rounds.append(paces)
    return {
        name: Pace(
            statistics.median(each[name].per_second for each in rounds),
            statistics.median(each[name].cpu_ms for each in rounds),
        )
        for name in ways
    }


def seconds(act: Callable[[], object]) -> float:
    """How long it takes once."""
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


def cached_client() -> S3Client:
    """As it comes; with connections for all threads."""
    return boto3.session.Session().client("s3", config=Config(max_pool_connections=64))


def saving(output: Any) -> Save:
    """The plugin's whole way from an output to an object."""
    settings = OutputSettings(url=f"s3://{BUCKET}/saved")
    destinations = Destinations(settings, environment=None, open_store=object_store)
    saver = OutputSaver(settings, destinations=destinations, clock=SYSTEM_CLOCK)
    numbers = itertools.count()
    return lambda: saver.save(f"{next(numbers):032x}", output)


def bare(body: bytes) -> Save:
    """One cached client's ``put_object``."""
    client, numbers = cached_client(), itertools.count()
    return lambda: client.put_object(Bucket=BUCKET, Key=f"bare/{next(numbers):032x}.json", Body=body)


def snippet(body: bytes) -> Save:
    """The documentation's: a client for each request."""
    numbers = itertools.count()

    def save() -> None:
        client = boto3.client("s3")
        client.put_object(Bucket=BUCKET, Key=f"snippet/{next(numbers):032x}.json", Body=body)

    return save


def put_file(client: S3Client, path: Path) -> None:
    """``put_object`` of a file."""
    with path.open("rb") as file:
        client.put_object(Bucket=BUCKET, Key="artifact.bin", Body=file)


def small_saves(size: int) -> list[Row]:
    """The rows for outputs of that size."""
    body = b"x" * size
    count = SAVES[size]
    paces = side_by_side(
        {
            "save": (saving({"text": "x" * size}), count),
            "bare": (bare(body), count),
            "snippet": (snippet(body), SNIPPET_SAVES),
        }
    )
    save, floor, documented = paces["save"], paces["bare"], paces["snippet"]
    label = f"{size // 1000} KB saves, {THREADS} threads"
    rate = f"{save.per_second:,.0f}/s"
    rows = [
        Row(
            f"{label}: against put_object", rate, f"{floor.per_second:,.0f}/s",
            save.per_second / floor.per_second, 0.85, 0.95,
        ),
        Row(
            f"{label}: against the snippet", rate, f"{documented.per_second:,.0f}/s",
            save.per_second / documented.per_second, 3, 5,
        ),
    ]  # fmt: skip
    if size == min(SAVES):
        rows.append(
            Row(
                f"CPU of a {size // 1000} KB save: against put_object", f"{save.cpu_ms:.2f} ms",
                f"{floor.cpu_ms:.2f} ms", save.cpu_ms / floor.cpu_ms, 1.3, 1.1, is_better_lower=True,
            )
        )  # fmt: skip
    return rows


def large_artifact(folder: Path, endpoint: str) -> Row:
    """The row for one large artifact over a slow link."""
    path = folder / "artifact.bin"
    path.write_bytes(os.urandom(ARTIFACT_BYTES))
    place = urlsplit(endpoint).netloc
    with slow_link(place, round_trip_ms=ROUND_TRIP_MS, megabytes_per_second=MEGABYTES_PER_SECOND) as url:
        os.environ["AWS_ENDPOINT_URL"] = url
        store, client = object_store(f"s3://{BUCKET}/large"), cached_client()
        store.put("warm", b"", content_type="text/plain")
        client.put_object(Bucket=BUCKET, Key="warm")
        put = partial(store.put, "artifact.bin", path, content_type="application/octet-stream")
        # The fastest of a few: what else goes on in the machine only makes it slower.
        ours = min(seconds(put) for _ in range(3))
        floor = min(seconds(lambda: put_file(client, path)) for _ in range(2))
    name = f"{ARTIFACT_BYTES // 1_000_000} MB artifact ({LINK}): against put_object"
    return Row(name, f"{ours:.1f} s", f"{floor:.1f} s", floor / ours, 3, 4)


def measure() -> list[Row]:
    """Every row, against one server."""
    with S3Server() as server, tempfile.TemporaryDirectory() as folder:
        server.create_bucket(BUCKET)
        os.environ.update(server.environment())
        rows = [row for size in SAVES for row in small_saves(size)]
        return [*rows, large_artifact(Path(folder), server.endpoint_url)]


def main() -> int:
    """Measure, print, write; fail when a figure is not what it must be."""
    rows = measure()
    table = Table("figure", "save", "beside it", "ratio", "must", "aim", "")
    for row in rows:
        figures = (f"{row.ratio:.2f}", f"{row.must:g}", f"{row.aim:g}")
        table.add_row(row.name, row.measured, row.floor, *figures, "" if row.is_reached else "not reached")
    Console(width=140).print(table)
    now = datetime.now(timezone.utc)
    record = {
        "time": now.isoformat(),
        "python": platform.python_version(),
        "boto3": version("boto3"),
        "truss_async": version("truss-async"),
        "figures": [asdict(row) for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"stores-{now:%Y%m%dT%H%M%SZ}.json").write_text(json.dumps(record, indent=2))
    return 0 if all(row.is_reached for row in rows) else 1
