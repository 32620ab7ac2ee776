"""Results as Arrow record batches."""

from __future__ import annotations

import json
import math
import sys
import tracemalloc
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.outputs import put_error, put_foreign, put_result, saver_of
from tests.unit.stores.table.conftest import NOON
from tests.unit.stores.table.reading import ids_of, rows_of
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.errors import MissingExtraError, OutputStoreError
from truss_async.model.file_parts import FilePart
from truss_async.stores import OutputStore
from truss_async.stores.memory_store import MemoryStore
from truss_async.stores.table import result_rows

if TYPE_CHECKING:
    from truss_async.clock import ManualClock

COLUMNS = ["request_id", "model_id", "deployment_id", "time", "status", "data", "errors", "artifacts"]
BOOM = ErrorDetail(code="MODEL_PREDICT_ERROR", message="boom")


def result_of(request_id: str, data: Any = None, **more: Any) -> AsyncPredictResult:
    return AsyncPredictResult(**{"request_id": request_id, "time": NOON, "data": data, **more})


def test_empty_store_has_no_batch(store: OutputStore) -> None:
    assert list(store.scan()) == []


def test_row_says_all_that_a_result_does(store: OutputStore) -> None:
    put_result(store, result_of("r1", {"text": "größer", "n": 1}, model_id="m", deployment_id="d"))
    (row,) = rows_of(store.scan())
    assert list(row) == COLUMNS
    assert json.loads(row.pop("data")) == {"text": "größer", "n": 1}
    assert row == {
        "request_id": "r1", "model_id": "m", "deployment_id": "d", "time": NOON, "status": "SUCCEEDED",
        "errors": [], "artifacts": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ('{"x":NaN,"y":[-Infinity,1e999]}', '{"x":null,"y":[null,null]}'),
        ("null", "null"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("[" * 300 + "]" * 300, "[" * 300 + "]" * 300),
        ('"\\u0000\\n"', '"\\u0000\\n"'),
    ],
)
def test_data_is_json_whatever_was_stored(store: OutputStore, body: str, text: str) -> None:
    stored = (
        f'{{"request_id":"r1","type":"async_request_completed","time":"2026-01-01T12:00:00Z","data":{body}}}'
    )
    put_foreign(store, "r1", stored.encode())
    (row,) = rows_of(store.scan())
    assert (row["status"], row["data"]) == ("SUCCEEDED", text)
    json.loads(row["data"], parse_constant=pytest.fail)


def test_artifacts_are_told_where_they_lie_now(store: OutputStore) -> None:
    saver_of(store).save("r1", {"page": FilePart(b"\x89PNG\r\n", "image/png", "page.png"), "score": math.inf})
    (row,) = rows_of(store.scan())
    assert row["artifacts"] == [
        {"url": f"{store.url}/r1/page.png", "content_type": "image/png", "size_bytes": 6, "name": None}
    ]
    with store.open_artifact(store.artifacts("r1")[0]) as file:
        assert file.read() == b"\x89PNG\r\n"


def test_what_an_output_calls_an_artifact_may_be_of_any_size(store: OutputStore) -> None:
    said = {"type": "artifact", "url": "x://r1/a.bin", "content_type": "x/y", "size_bytes": 10**30}
    put_result(store, result_of("r1", said))
    (row,) = rows_of(store.scan())
    assert row["artifacts"][0]["size_bytes"] == 2**63 - 1


def test_failure_and_damage_have_their_rows(store: OutputStore) -> None:
    put_error(store, result_of("f1", errors=[ErrorDetail(code="X", message="no", traceback="T")]))
    put_foreign(store, "empty", b"")
    put_foreign(store, "other", b'{"request_id":"r7","time":"2026-01-01T00:00:00Z"}')
    empty, failed, other = rows_of(store.scan())
    assert (failed["status"], failed["data"]) == ("FAILED", None)
    assert failed["errors"] == [{"code": "X", "message": "no", "traceback": "T"}]
    assert (empty["status"], other["status"]) == ("DAMAGED", "DAMAGED")
    assert "empty.json is not an async predict result" in empty["errors"][0]["message"]


def test_what_succeeded_at_another_attempt_is_one_row(store: OutputStore, clock: ManualClock) -> None:
    put_result(store, result_of("r1", 1))
    clock.advance(60)
    put_error(store, result_of("r1", errors=[BOOM]))
    assert [row["status"] for row in rows_of(store.scan())] == ["SUCCEEDED"]


def test_foreign_objects_are_left_out(store: OutputStore, objects: MemoryStore) -> None:
    for key in ("notes.txt", "r1/page.png", "x/r9.json", "empty/", "data.parquet"):
        objects._objects.by_key[key] = (b"", objects._objects.by_key.get("x", (b"", _info(key)))[1])
    put_result(store, result_of("r1", 1))
    assert ids_of(store.scan()) == ["r1"]


def _info(key: str) -> Any:
    from truss_async.stores import ObjectInfo

    return ObjectInfo(key, size_bytes=0, modified_at=NOON)


def test_since_prefix_and_failed_choose(store: OutputStore, clock: ManualClock) -> None:
    put_result(store, result_of("a1", 1))
    put_error(store, result_of("a2", errors=[BOOM]))
    clock.advance(hours=1)
    put_result(store, result_of("b1", 1))
    put_error(store, result_of("b2", errors=[BOOM]))
    later = NOON + timedelta(minutes=30)
    for outputs in (store, _compacted(store, clock)):
        assert ids_of(outputs.scan(prefix="a")) == ["a1", "a2"]
        assert ids_of(outputs.scan(since=later)) == ["b1", "b2"]
        assert ids_of(outputs.scan(since=later.replace(tzinfo=None), failed=True)) == ["b2"]
        assert ids_of(outputs.scan(failed=True)) == ["a2", "b2"]
        assert ids_of(outputs.scan(prefix="c")) == []


def _compacted(store: OutputStore, clock: ManualClock) -> OutputStore:
    """The table alone, as a store of its own."""
    table = MemoryStore(uuid.uuid4().hex, clock=clock)
    clock.advance(10)
    store.compact(table)
    return OutputStore(table, clock=clock)


def test_table_without_results_is_empty(store: OutputStore, clock: ManualClock) -> None:
    assert list(_compacted(store, clock).scan()) == []


def test_raw_outputs_and_dated_keys_are_rows(clock: ManualClock) -> None:
    name = uuid.uuid4().hex
    outputs = OutputStore.from_url(f"memory://{name}/{{date:%Y/%m}}", format="raw")
    saver_of(MemoryStore(name, clock=clock), clock=clock, key="2026/01/{request_id}.json", format="raw").save(
        "r1", [1]
    )
    (row,) = rows_of(outputs.scan())
    assert (row["request_id"], row["data"], row["time"]) == ("r1", "[1]", NOON)


def test_object_that_goes_while_it_is_read_has_no_row(store: OutputStore, objects: MemoryStore) -> None:
    put_result(store, result_of("r1", 1))
    listed = objects.list

    def list_and_delete(prefix: str = "") -> Any:
        found = list(listed(prefix))
        objects.delete("r1.json")
        return iter(found)

    objects.list = list_and_delete  # type: ignore[method-assign]
    assert list(store.scan()) == []


def test_object_that_goes_into_the_table_meanwhile_is_read_there(
    store: OutputStore, objects: MemoryStore, table: MemoryStore, clock: ManualClock
) -> None:
    put_result(store, result_of("r1", 1))
    clock.advance(10)
    listed = table.list

    def compact_and_delete(prefix: str = "") -> Any:
        found = list(listed(prefix))
        table.list = listed  # type: ignore[method-assign]
        store.compact(table)
        objects.delete("r1.json")
        return iter(found)

    table.list = compact_and_delete  # type: ignore[method-assign]
    assert ids_of(store.scan()) == ["r1"]


def test_store_that_fails_is_told(store: OutputStore, objects: MemoryStore) -> None:
    put_result(store, result_of("r1", 1))

    def fail(key: str) -> Any:
        raise OutputStoreError("cannot read: 503")

    objects.open = fail  # type: ignore[method-assign]
    with pytest.raises(OutputStoreError, match="503"):
        list(store.scan())


def test_scan_holds_few_of_many_results(
    store: OutputStore, objects: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_rows, "BATCH_BYTES", 100_000)
    body = b'{"request_id":"%b","type":"async_request_completed","time":"2026-01-01T12:00:00Z","data":"%b"}'
    for number in range(400):
        request_id = f"r{number}"
        objects.put(f"{request_id}.json", body % (request_id.encode(), b"x" * 50_000), content_type="")
    tracemalloc.start()
    try:
        assert sum(batch.num_rows for batch in store.scan()) == 400
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10_000_000, "20 MB are in the store"


def test_without_pyarrow_the_error_tells_what_to_install(
    store: OutputStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_result(store, result_of("r1", 1))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'truss-async\[table\]'"):
        list(store.scan())
