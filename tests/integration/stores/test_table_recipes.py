"""Results as a table on a real S3 server: the recipes of docs/tables.md, and a compaction that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.pages import blocks
from tests.integration.stores.conftest import BUCKET
from tests.outputs import put_error, saver_of
from tests.unit.stores.table.reading import all_ids, ids_of
from tests.unit.stores.table.test_scan import BOOM, result_of
from truss_async.clock import SYSTEM_CLOCK
from truss_async.stores import ObjectStore, OutputStore, object_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from truss_async.demo.s3_server import S3Server

PAGE = Path(__file__).parents[3] / "docs" / "tables.md"
RECIPES = {block.test: block.text for block in blocks(PAGE.read_text()) if block.test is not None}
PAGES = 12
COMMAND = str(Path(sys.executable).with_name("truss-async"))


def fill(store: ObjectStore | OutputStore) -> list[str]:
    """So many pages, and a failure; the request ids."""
    saver = saver_of(store)
    for number in range(PAGES):
        saver.save(f"page-{number}", {"text": f"Hello, page {number}!"})
    put_error(store, result_of("wrong", errors=[BOOM]))
    return sorted([*(f"page-{number}" for number in range(PAGES)), "wrong"])


@pytest.fixture(scope="module")
def environment(s3_server: S3Server) -> dict[str, str]:
    """That of a reader whose bucket has been filled and compacted."""
    s3_server.create_bucket("my-bucket")
    outputs = object_store("s3://my-bucket/outputs", credentials=s3_server.credentials())
    table = object_store("s3://my-bucket/outputs/table", credentials=s3_server.credentials())
    fill(outputs)
    OutputStore(outputs).compact(table)
    # Polars is asked to speak with a server that has no certificate.
    return {**os.environ, **s3_server.environment(), "AWS_ALLOW_HTTP": "true"}


@pytest.mark.parametrize(
    ("recipe", "printed"),
    [
        ("scan", "13 ['request_id', 'model_id', 'deployment_id', 'time', 'status', 'data', 'errors', 'artifacts']"),
        ("duckdb", "│ SUCCEEDED │    12 │"),
        ("polars", "Hello, page 9!"),
    ],
    ids=["scan", "duckdb", "polars"],
)  # fmt: skip
def test_recipe_reads_the_bucket(
    environment: dict[str, str], recipe: str, printed: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RECIPES[recipe]],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout


def test_every_recipe_has_its_test() -> None:
    assert set(RECIPES) == {"scan", "duckdb", "polars"}


def test_every_kind_of_store_is_compacted_and_scanned(open_store: Callable[[str], ObjectStore]) -> None:
    outputs, table = open_store("outputs"), open_store("outputs/table")
    ids = fill(outputs)
    store = OutputStore(outputs, table=table)
    assert store.compact(table).rows == len(ids)
    assert all_ids(table) == ids
    outputs.delete("page-3.json")
    saver_of(outputs).save("page-5", {"text": "once more"})
    saver_of(outputs).save("one-more", {"text": "new"})
    assert ids_of(store.scan()) == sorted([*ids, "one-more"])
    assert store.compact(table).rows == len(ids) + 1
    assert all_ids(table) == sorted([*ids, "one-more"])


def test_compaction_that_is_killed_is_gone_on_with_at_once(s3_server: S3Server) -> None:
    root = f"s3://{BUCKET}/{uuid.uuid4().hex}"
    outputs = object_store(root, credentials=s3_server.credentials())
    table = object_store(f"{root}/table", credentials=s3_server.credentials())
    ids = fill(outputs)
    command = [COMMAND, "results", "compact", "--store", root, "--into", f"{root}/table"]
    environment = {**os.environ, **s3_server.environment()}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    deadline = SYSTEM_CLOCK.monotonic() + 60
    while not list(table.list("turns/")):
        assert SYSTEM_CLOCK.monotonic() < deadline
        assert process.poll() is None
        SYSTEM_CLOCK.block(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert len(all_ids(table)) == len(set(all_ids(table)))
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (again.returncode, again.stderr) == (0, "")
    assert f"{root}/table has {len(ids)} rows" in again.stdout
    assert all_ids(table) == ids
