"""Many objects into few files, whatever happens on the way."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.outputs import put_error, put_foreign, put_result
from tests.unit.stores.table.conftest import NOON
from tests.unit.stores.table.reading import all_ids, files_of, ids_of, rows_of
from tests.unit.stores.table.test_scan import BOOM, result_of
from truss_async.errors import InvalidResultError, OutputStoreError, SettingsError
from truss_async.stores import OutputStore
from truss_async.stores.memory_store import MemoryStore
from truss_async.stores.table import compaction
from truss_async.stores.table.turn import LEASE_SECONDS

if TYPE_CHECKING:
    from truss_async.clock import ManualClock


class KilledError(BaseException):
    """The process ends here: nothing after it is done."""


class MortalStore(MemoryStore):
    """Lets so many writes through, and then kills whoever writes."""

    writes_left: int | None = None

    def put(self, key: str, *arguments: Any, **options: Any) -> None:
        self._count()
        super().put(key, *arguments, **options)

    def delete(self, key: str) -> None:
        self._count()
        super().delete(key)

    def _count(self) -> None:
        if self.writes_left is not None:
            if self.writes_left == 0:
                raise KilledError
            self.writes_left -= 1


def fill(store: OutputStore, clock: ManualClock) -> list[str]:
    """Two hours of results, one failure and one damaged object; their ids."""
    for number in range(3):
        put_result(store, result_of(f"r{number}", number))
    clock.advance(hours=1)
    put_result(store, result_of("r3", 3))
    put_error(store, result_of("r4", errors=[BOOM]))
    put_foreign(store, "r5", b"{")
    clock.advance(10)
    return [f"r{number}" for number in range(6)]


def manifest_of(table: MemoryStore) -> dict[str, Any]:
    with table.open("manifest.json") as file:
        found: dict[str, Any] = json.loads(file.read())
    return found


def test_each_hour_is_a_file(store: OutputStore, table: MemoryStore, clock: ManualClock) -> None:
    ids = fill(store, clock)
    done = store.compact(table)
    assert (done.results, done.files, done.rows, done.damaged) == (6, 2, 6, 1)
    assert files_of(table) == {
        "data/hour=2026-01-01T12/results.parquet": ["r0", "r1", "r2"],
        "data/hour=2026-01-01T13/results.parquet": ["r3", "r4", "r5"],
    }
    manifest = manifest_of(table)
    assert manifest["source"] == store.url
    assert [(each["rows"], each["failed"], each["damaged"]) for each in manifest["files"].values()] == [
        (3, 0, 0),
        (3, 1, 1),
    ]
    assert ids_of(store.scan()) == ids


def test_compacted_rows_are_what_a_scan_of_the_objects_gives(
    store: OutputStore, objects: MemoryStore, table: MemoryStore, clock: ManualClock
) -> None:
    fill(store, clock)
    before = rows_of(OutputStore(objects, clock=clock).scan())
    store.compact(table)
    assert rows_of(OutputStore(table, clock=clock).scan()) == before
    opened: list[str] = []
    read = objects.open
    objects.open = lambda key: opened.append(key) or read(key)  # type: ignore[method-assign, func-returns-value]
    assert rows_of(store.scan()) == before
    assert [key for key in opened if key != "manifest.json"] == [], "rows are read instead of objects"


def test_second_run_has_nothing_to_do_and_looks_into_no_file(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    fill(store, clock)
    store.compact(table)
    read, opened = table.open, list[str]()
    table.open = lambda key: opened.append(key) or read(key)  # type: ignore[method-assign, func-returns-value]
    done = store.compact(table)
    assert (done.results, done.files, done.rows) == (0, 0, 6)
    assert [key for key in opened if key.endswith(".parquet")] == []


def test_what_is_new_is_added_to_the_file_of_its_hour(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    fill(store, clock)
    store.compact(table)
    put_result(store, result_of("r6", 6))
    clock.advance(10)
    done = store.compact(table)
    assert (done.results, done.files, done.rows) == (1, 1, 7)
    assert files_of(table)["data/hour=2026-01-01T13/results.parquet"] == ["r3", "r4", "r5", "r6"]


def test_what_was_written_again_moves_to_its_new_hour(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    fill(store, clock)
    store.compact(table)
    clock.advance(hours=1)
    put_result(store, result_of("r0", "new"))
    put_result(store, result_of("r4", "succeeded after all"))
    clock.advance(10)
    by_id = {row["request_id"]: row for row in rows_of(store.scan())}
    assert (by_id["r0"]["data"], by_id["r4"]["status"]) == ('"new"', "SUCCEEDED"), (
        "also before it is compacted"
    )
    store.compact(table)
    assert files_of(table)["data/hour=2026-01-01T14/results.parquet"] == ["r0", "r4"]
    assert all_ids(table) == ["r0", "r1", "r2", "r3", "r4", "r5"]
    assert {row["request_id"]: row for row in rows_of(store.scan())} == by_id


def test_file_that_loses_its_last_row_goes(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    put_result(store, result_of("r0", 0))
    clock.advance(10)
    store.compact(table)
    clock.advance(hours=1)
    put_result(store, result_of("r0", 1))
    clock.advance(10)
    store.compact(table)
    assert files_of(table) == {"data/hour=2026-01-01T13/results.parquet": ["r0"]}
    assert list(manifest_of(table)["files"]) == ["hour=2026-01-01T13"]


def test_what_a_store_of_whole_seconds_may_write_again_is_looked_at_again(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    put_result(store, result_of("r0", "old"))
    store.compact(table)
    put_result(store, result_of("r0", "new"))  # within the same second: the listing looks the same
    assert [row["data"] for row in rows_of(store.scan())] == ['"new"']
    clock.advance(10)
    store.compact(table)
    assert [row["data"] for row in rows_of(OutputStore(table, clock=clock).scan())] == ['"new"']


def test_rows_stay_when_their_objects_go(
    store: OutputStore, objects: MemoryStore, table: MemoryStore, clock: ManualClock
) -> None:
    ids = fill(store, clock)
    store.compact(table)
    for request_id in ids:
        store.delete(request_id)
    assert list(objects.list()) == []
    assert ids_of(store.scan()) == ids
    clock.advance(hours=1)
    put_result(store, result_of("r1", "once more"))
    put_error(store, result_of("r2", errors=[BOOM]))
    clock.advance(10)
    store.compact(table)
    assert all_ids(table) == ids
    by_id = {row["request_id"]: row["data"] for row in rows_of(store.scan())}
    assert (by_id["r1"], by_id["r2"]) == ('"once more"', "2"), "an error does not stand against a result"


def read_files(table: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Parquet files that are read from now on."""
    found: list[str] = []
    read = table.open

    def noted(key: str) -> Any:
        if key.endswith(".parquet"):
            found.append(key)
        return read(key)

    monkeypatch.setattr(table, "open", noted)
    return found


def test_files_whose_objects_are_gone_are_not_read_again(
    store: OutputStore,
    objects: MemoryStore,
    table: MemoryStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ids = fill(store, clock)
    store.compact(table)
    opened = read_files(table, monkeypatch)
    for request_id in ids:
        store.delete(request_id)
    assert (store.compact(table).rows, opened) == (6, []), "nothing is new"
    clock.advance(hours=1)
    put_result(store, result_of("r6", 6))
    clock.advance(10)
    assert (store.compact(table).rows, opened) == (7, []), "what is new is new in all files"
    for _ in range(2):
        assert (store.compact(table).rows, opened) == (7, [])
    clock.advance(hours=1)
    put_result(store, result_of("r1", "once more"))
    clock.advance(10)
    assert store.compact(table).rows == 7
    assert set(opened) == {"data/hour=2026-01-01T12/results.parquet"}, "where its row was, and no other"
    assert all_ids(table) == [*ids, "r6"]


def test_a_file_of_which_some_objects_are_gone_is_read_once_more_and_then_no_more(
    store: OutputStore, table: MemoryStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(store, clock)
    store.compact(table)
    store.delete("r1")
    opened = read_files(table, monkeypatch)
    assert store.compact(table).rows == 6
    assert set(opened) == {"data/hour=2026-01-01T12/results.parquet"}
    opened.clear()
    clock.advance(hours=1)
    put_result(store, result_of("r6", 6))
    clock.advance(10)
    assert (store.compact(table).rows, opened) == (7, [])


@pytest.mark.parametrize("harm", ["absent", "of another file", "older than ids", "too many news"])
def test_without_ids_that_can_be_trusted_files_are_read(
    store: OutputStore,
    table: MemoryStore,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    ids = fill(store, clock)
    store.compact(table)
    for request_id in ids:
        store.delete(request_id)
    put_result(store, result_of("r1", "new"))
    key = "ids/hour=2026-01-01T12.ids"
    if harm == "absent":
        table.delete(key)
    elif harm == "of another file":
        table.put(key, b"12345678", content_type="")
    elif harm == "older than ids":
        manifest = manifest_of(table)
        del manifest["files"]["hour=2026-01-01T12"]["ids"]
        table.put("manifest.json", json.dumps(manifest).encode(), content_type="application/json")
    else:
        monkeypatch.setattr(compaction, "MOST_COMPARED", 0)
    clock.advance(10)
    assert store.compact(table).rows == 6
    assert all_ids(table) == ids
    assert {row["request_id"]: row["data"] for row in rows_of(store.scan())}["r1"] == '"new"'
    with table.open(key) as file:
        assert len(file.read()) == 8 * len(files_of(table)["data/hour=2026-01-01T12/results.parquet"])


def test_killed_at_any_write_nothing_is_lost_and_nothing_twice(
    clock: ManualClock, table: MemoryStore
) -> None:
    writes = 0
    while True:
        objects, mortal = _started(clock, f"killed-{writes}-{table.url}")
        store = OutputStore(objects, table=mortal, clock=clock)
        ids = [*[f"r{number}" for number in range(6)], "r6"]
        mortal.writes_left = writes
        try:
            store.compact(mortal)
            is_killed = False
        except KilledError:
            is_killed = True
        mortal.writes_left = None
        seen = all_ids(mortal)
        assert len(seen) == len(set(seen)), f"killed at write {writes}"
        assert ids_of(store.scan()) == ids, f"killed at write {writes}"
        clock.advance(LEASE_SECONDS + 1)
        assert store.compact(mortal).rows == len(ids)
        assert all_ids(mortal) == ids, f"killed at write {writes}"
        assert {row["request_id"]: row["data"] for row in rows_of(store.scan())}["r0"] == '"new"'
        if not is_killed:
            break
        writes += 1
    assert writes >= 7, "each write was the last one once"


def _started(clock: ManualClock, name: str) -> tuple[MemoryStore, MortalStore]:
    """A table that is behind: what it holds was written again, and there is more."""
    objects, mortal = MemoryStore(f"{name}-objects", clock=clock), MortalStore(f"{name}-table", clock=clock)
    store = OutputStore(objects, clock=clock)
    fill(store, clock)
    store.compact(mortal)
    clock.advance(hours=1)
    put_result(store, result_of("r0", "new"))
    put_result(store, result_of("r6", 6))
    clock.advance(10)
    return objects, mortal


def test_day_is_a_span_too_and_another_one_is_refused(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    ids = fill(store, clock)
    store.compact(table, every="day")
    assert files_of(table) == {"data/day=2026-01-01/results.parquet": ids}
    with pytest.raises(SettingsError, match="give --every day"):
        store.compact(table)


def test_table_of_another_store_is_refused(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    store.compact(table)
    other = OutputStore(MemoryStore("another-store", clock=clock), clock=clock)
    with pytest.raises(SettingsError, match="into another folder"):
        other.compact(table)


def test_table_among_the_results_is_refused(store: OutputStore, objects: MemoryStore) -> None:
    with pytest.raises(SettingsError, match=r"a separate folder, such as .*/table"):
        store.compact(objects)
    assert list(objects.list()) == []


def test_table_may_lie_below_the_results(store: OutputStore, clock: ManualClock) -> None:
    ids = fill(store, clock)
    store.compact(f"{store.url}/table")
    assert ids_of(OutputStore.from_url(f"{store.url}/table").scan()) == ids
    assert ids_of(OutputStore.from_url(store.url, table=f"{store.url}/table").scan()) == ids


def test_foreign_manifest_is_not_replaced(store: OutputStore, table: MemoryStore) -> None:
    table.put("manifest.json", b'{"name": "somebody\'s app"}', content_type="application/json")
    with pytest.raises(InvalidResultError, match="into another folder"):
        store.compact(table)
    assert manifest_of(table) == {"name": "somebody's app"}


@pytest.mark.parametrize("body", [b"", b"PAR1", b"no parquet at all"])
def test_damaged_file_is_named(
    store: OutputStore, table: MemoryStore, clock: ManualClock, body: bytes
) -> None:
    fill(store, clock)
    store.compact(table)
    table.put("data/hour=2026-01-01T12/results.parquet", body, content_type="")
    with pytest.raises(
        InvalidResultError, match=r"hour=2026-01-01T12/results\.parquet .*; move it away, and compact again"
    ):
        store.compact(table)
    table.delete("data/hour=2026-01-01T12/results.parquet")
    assert store.compact(table).rows == 6


def test_store_that_knows_no_first_writer_is_refused(store: OutputStore, table: MemoryStore) -> None:
    table.has_conditional_puts = False  # type: ignore[misc]
    with pytest.raises(OutputStoreError, match="compact into s3://"):
        store.compact(table)


def test_the_url_of_a_table_lists_its_rows(
    store: OutputStore, table: MemoryStore, clock: ManualClock
) -> None:
    compacted = OutputStore(table, clock=clock)
    assert list(compacted.list()) == []
    put_result(store, result_of("r1", "four"))
    put_error(store, result_of("r2", errors=[BOOM]))
    clock.advance(hours=2)
    put_result(store, result_of("r3"))
    clock.advance(hours=1)
    store.compact(table)
    listed = {info.request_id: info for info in compacted.list()}
    assert set(listed) == {"r1", "r3"}
    assert (listed["r1"].size_bytes, listed["r1"].modified_at) == (len('"four"'), NOON)
    assert [info.request_id for info in compacted.list(since=NOON + timedelta(hours=1))] == ["r3"]
    assert [info.request_id for info in compacted.list(prefix="r1")] == ["r1"]
    assert [info.request_id for info in compacted.failures()] == ["r2"]
    assert sorted(info.request_id for info in store.list()) == ["r1", "r3"]


def test_what_only_has_the_name_of_a_table_is_a_result(store: OutputStore) -> None:
    put_result(store, result_of("manifest"))
    assert [info.request_id for info in store.list()] == ["manifest"]
