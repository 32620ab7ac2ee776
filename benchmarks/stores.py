"""What saving costs beside a bare ``put_object``, on a real S3 server."""

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from mypy_boto3_s3 import S3Client

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo.s3_server import S3Server
from truss_async.model.destination import Destinations
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.stores import object_store

from .report import Figure
from .slow_link import slow_link

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


def small_saves(size: int) -> list[Figure]:
    """The figures for outputs of that size."""
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
    figures = [
        Figure(f"{label}: put_object", floor.per_second, "/s"),
        Figure(f"{label}: the snippet", documented.per_second, "/s"),
        Figure(f"{label}: against put_object", save.per_second / floor.per_second, "x", 0.85, 0.95),
        Figure(f"{label}: against the snippet", save.per_second / documented.per_second, "x", 3, 5),
    ]
    if size == min(SAVES):
        cpu = save.cpu_ms / floor.cpu_ms
        figures.append(Figure(f"{size // 1000} KB save: CPU of put_object", floor.cpu_ms, "ms"))
        figures.append(Figure(f"{size // 1000} KB save: CPU against it", cpu, "x", 1.3, 1.1, at_most=True))
    return figures


def large_artifact(folder: Path, endpoint: str) -> list[Figure]:
    """The figures for one large artifact over a slow link."""
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
    label = f"{ARTIFACT_BYTES // 1_000_000} MB artifact, {LINK}"
    return [
        Figure(f"{label}: put_object", floor, "s"),
        Figure(f"{label}: times as fast", floor / ours, "x", 3, 4),
    ]


def measure() -> list[Figure]:
    """Every figure, against one server."""
    with S3Server() as server, tempfile.TemporaryDirectory() as folder:
        server.create_bucket(BUCKET)
        os.environ.update(server.environment())
        figures = [figure for size in SAVES for figure in small_saves(size)]
        return [*figures, *large_artifact(Path(folder), server.endpoint_url)]
