"""What reading many results back costs: as objects, and as compacted Parquet.

``TRUSS_ASYNC_BENCH_RESULTS`` says how many; a folder holds them, which is the cheapest store to read objects from.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from truss_async.stores import OutputStore

from .report import Figure

RESULTS = int(os.environ.get("TRUSS_ASYNC_BENCH_RESULTS", "100000"))
OUTPUT_CHARACTERS = 1000


def cpu_seconds(read: Callable[[], int]) -> float:
    """The processor time of reading all of them, with all of its threads."""
    started = time.process_time()
    assert read() == RESULTS
    return time.process_time() - started


def fill(folder: Path) -> None:
    """What a model saved, without waiting for the disk."""
    folder.mkdir()
    envelope = {"type": "async_request_completed", "time": "2026-01-01T12:00:00Z", "errors": []}
    for number in range(RESULTS):
        request_id = f"{number:032x}"
        data = {"page": number, "text": (request_id * (OUTPUT_CHARACTERS // 32 + 1))[:OUTPUT_CHARACTERS]}
        body = json.dumps({"request_id": request_id, **envelope, "data": data})
        (folder / f"{request_id}.json").write_text(body)


def get_each(store: OutputStore) -> int:
    """As most would read them."""
    return sum(store.get(info.request_id).data is not None for info in store.list())


def scan_all(store: OutputStore) -> int:
    """As a table."""
    return sum(batch.num_rows for batch in store.scan())


def measure() -> list[Figure]:
    """Every figure, of one folder of results."""
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder, "outputs"))
        outputs = OutputStore.from_url(Path(folder, "outputs").as_uri())
        table = OutputStore.from_url(Path(folder, "table").as_uri())
        compacting = cpu_seconds(lambda: outputs.compact(table.url).rows)
        got = cpu_seconds(lambda: get_each(outputs))
        scanned = cpu_seconds(lambda: scan_all(outputs))
        compacted = min(cpu_seconds(lambda: scan_all(table)) for _ in range(3))
    label = f"{RESULTS:,} results of 1 KB"
    return [
        Figure(f"{label}: CPU to compact them", compacting, "s"),
        Figure(f"{label}: CPU to get each object", got, "s"),
        Figure(f"{label}: CPU to scan the objects", scanned, "s"),
        Figure(f"{label}: CPU to scan them compacted", compacted, "s"),
        Figure(f"{label}: compacted, times less than objects", min(got, scanned) / compacted, "x", 30, 50),
    ]
