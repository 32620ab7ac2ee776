"""Finding again what a model saved."""

from __future__ import annotations

import contextlib
import gzip
import uuid
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.outputs import put_artifact, put_error, put_foreign, put_result
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.errors import (
    InvalidResultError,
    ObjectNotFoundError,
    OutputStoreError,
    RequestFailedError,
    UnsafeObjectKeyError,
)
from truss_async.stores import OutputStore, ResultInfo
from truss_async.stores.memory_store import MemoryStore
from truss_async.stores.polling import LONGEST_PAUSE_SECONDS, is_last_word, pauses

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
BOOM = ErrorDetail(code="MODEL_PREDICT_ERROR", message="boom")
STRANGE_KEYS = [
    "r1", ".json", "r1.json.json", "r1.error.json", "r2.error.json", "r1/page.json", "r1/", "x/r9.json", "ä.json",
    "notes.txt", "r3.JSON", "a b.json", "..json", "truss-async-probe",
]  # fmt: skip


class PassingClock(ManualClock):
    """Whoever waits sees the time pass at once, and what was to happen in it."""

    def __init__(self) -> None:
        super().__init__(NOON)
        self.happenings: dict[float, Callable[[], object]] = {}
        self.waits: list[float] = []

    def block(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.advance(seconds)
        passed = (self.now() - NOON).total_seconds()
        for moment in [moment for moment in self.happenings if moment <= passed]:
            self.happenings.pop(moment)()

    @property
    def passed_seconds(self) -> float:
        return (self.now() - NOON).total_seconds()


@pytest.fixture
def clock() -> PassingClock:
    return PassingClock()


@pytest.fixture
def objects(clock: PassingClock) -> MemoryStore:
    return MemoryStore(uuid.uuid4().hex, clock=clock)


@pytest.fixture
def store(objects: MemoryStore) -> OutputStore:
    return OutputStore(objects)


def result_of(request_id: str, data: Any = None, **more: Any) -> AsyncPredictResult:
    return AsyncPredictResult(**{"request_id": request_id, "time": NOON, "data": data, **more})


def failure_of(request_id: str, message: str = "boom", **more: Any) -> AsyncPredictResult:
    return result_of(request_id, errors=[ErrorDetail(code="MODEL_PREDICT_ERROR", message=message)], **more)


def put_raw(objects: MemoryStore, key: str, body: bytes = b"{}") -> None:
    # By the store's own dictionary: other hands are not held to our keys.
    objects.put("placeholder", body, content_type="text/plain")
    by_key = objects._objects.by_key
    by_key[key] = by_key.pop("placeholder")


def test_failed_request_is_told_with_its_reason(store: OutputStore) -> None:
    failed = failure_of("r1", "no\nsuch\x1b[31m page" + "x" * 1000)
    put_error(store, failed)
    with pytest.raises(RequestFailedError) as raised:
        store.get("r1")
    assert raised.value.result == failed
    assert str(raised.value).startswith("request r1 failed: MODEL_PREDICT_ERROR: no such [31m page")
    assert len(str(raised.value)) < 400
    assert not isinstance(raised.value, OutputStoreError)


def test_failure_never_hides_a_success(store: OutputStore) -> None:
    put_result(store, result_of("r1", "done"))
    put_error(store, failure_of("r1"))
    assert store.get("r1").data == "done"


def test_unknown_request_is_not_a_failed_one(store: OutputStore) -> None:
    put_error(store, failure_of("r10"))
    with pytest.raises(ObjectNotFoundError, match=r"there is no object memory://\S+/r1\.json"):
        store.get("r1")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", result_of("r1").model_dump_json().encode(), failure_of("r2").model_dump_json().encode()],
    ids=["empty", "cut off", "without errors", "of another request"],
)
def test_error_object_that_is_none_is_damage_and_no_failure(
    store: OutputStore, objects: MemoryStore, body: bytes
) -> None:
    objects.put("r1.error.json", body, content_type="application/json")
    with pytest.raises(InvalidResultError, match=r"r1\.error\.json"):
        store.get("r1")


def test_damaged_result_is_told_though_there_is_a_failure(store: OutputStore) -> None:
    put_foreign(store, "r1", b'{"request_id":')
    put_error(store, failure_of("r1"))
    with pytest.raises(InvalidResultError, match=r"r1\.json is not an async predict result"):
        store.get("r1")


def test_wait_returns_at_once_what_is_there(store: OutputStore, clock: PassingClock) -> None:
    put_result(store, result_of("r1", 1))
    assert store.wait("r1", timeout_seconds=0, clock=clock).data == 1
    assert clock.waits == []


def test_wait_returns_soon_after_the_result_is_there(store: OutputStore, clock: PassingClock) -> None:
    clock.happenings[20] = lambda: put_result(store, result_of("r1", 1))
    assert store.wait("r1", clock=clock).data == 1
    assert 20 <= clock.passed_seconds <= 20 + LONGEST_PAUSE_SECONDS
    assert clock.waits == sorted(clock.waits)
    assert len(clock.waits) < 20


@pytest.mark.parametrize("timeout_seconds", [0, 0.05, 7, 3600])
def test_wait_ends_when_its_time_is_up(
    store: OutputStore, clock: PassingClock, timeout_seconds: float
) -> None:
    with pytest.raises(TimeoutError, match=f"request r1 has no result in memory://.* {timeout_seconds:g} s"):
        store.wait("r1", timeout_seconds=timeout_seconds, clock=clock)
    assert clock.passed_seconds == pytest.approx(timeout_seconds)


def test_result_that_comes_at_the_last_moment_is_seen(store: OutputStore, clock: PassingClock) -> None:
    clock.happenings[7] = lambda: put_result(store, result_of("r1", 1))
    assert store.wait("r1", timeout_seconds=7, clock=clock).data == 1


def test_failure_of_long_ago_counts_at_once(store: OutputStore, clock: PassingClock) -> None:
    put_error(store, failure_of("r1", time=NOON - timedelta(hours=1)))
    with pytest.raises(RequestFailedError, match="boom"):
        store.wait("r1", clock=clock)
    assert clock.waits == []


def test_attempt_after_a_failure_is_waited_for(store: OutputStore, clock: PassingClock) -> None:
    put_error(store, failure_of("r1", "first"))
    clock.happenings[25] = lambda: put_error(
        store, failure_of("r1", "second", time=NOON + timedelta(seconds=25))
    )
    clock.happenings[50] = lambda: put_result(store, result_of("r1", "third"))
    assert store.wait("r1", clock=clock).data == "third"


@pytest.mark.parametrize("written_at", [NOON, NOON + timedelta(days=1), NOON.replace(tzinfo=None)])
def test_failure_that_stands_is_the_last_word(
    store: OutputStore, clock: PassingClock, written_at: datetime
) -> None:
    put_error(store, failure_of("r1", time=written_at))
    with pytest.raises(RequestFailedError):
        store.wait("r1", clock=clock)
    assert 30 <= clock.passed_seconds <= 30 + LONGEST_PAUSE_SECONDS


def test_failure_is_told_when_the_time_is_up(store: OutputStore, clock: PassingClock) -> None:
    put_error(store, failure_of("r1"))
    with pytest.raises(RequestFailedError):
        store.wait("r1", timeout_seconds=3, clock=clock)
    assert clock.passed_seconds == pytest.approx(3)


def test_damage_ends_the_waiting(store: OutputStore, clock: PassingClock) -> None:
    clock.happenings[2] = lambda: put_foreign(store, "r1", b"{")
    with pytest.raises(InvalidResultError):
        store.wait("r1", clock=clock)


def test_pauses_grow_to_a_limit() -> None:
    pause = pauses()
    first = [next(pause) for _ in range(20)]
    assert first[:3] == pytest.approx([0.1, 0.15, 0.225])
    assert first[-5:] == [LONGEST_PAUSE_SECONDS] * 5


@pytest.mark.parametrize(
    ("written", "seen", "expected"),
    [(0, 0, False), (-29, 0, False), (-30, 0, True), (0, -30, True), (900, -30, True), (900, -29, False)],
)
def test_failure_counts_by_the_earlier_of_two_times(written: float, seen: float, expected: bool) -> None:
    written_at, first_seen_at = NOON + timedelta(seconds=written), NOON + timedelta(seconds=seen)
    assert is_last_word(written_at, first_seen_at, now=NOON, after_seconds=30) is expected


def test_list_tells_results_alone(store: OutputStore, objects: MemoryStore) -> None:
    for key in STRANGE_KEYS:
        put_raw(objects, key)
    put_raw(objects, "r1.json", b"12345")
    put_raw(objects, "r2.json")
    assert sorted(store.list(), key=lambda info: info.request_id) == [
        ResultInfo("r1", size_bytes=5, modified_at=NOON),
        ResultInfo("r2", size_bytes=2, modified_at=NOON),
    ]


def test_list_is_narrowed_by_prefix_and_time(store: OutputStore, clock: PassingClock) -> None:
    for request_id in ("a1", "a2", "b1", "b2"):
        put_result(store, result_of(request_id))
        clock.advance(minutes=1)

    def found(**narrowed: Any) -> list[str]:
        return sorted(info.request_id for info in store.list(**narrowed))

    assert found(prefix="a") == ["a1", "a2"]
    assert found(prefix="../") == found(prefix="a1.json/") == found(prefix="c") == []
    second = NOON + timedelta(minutes=1)
    assert found(since=second) == found(since=second.replace(tzinfo=None)) == ["a2", "b1", "b2"]
    assert found(since=second.astimezone(timezone(timedelta(hours=5))), prefix="a") == ["a2"]


def test_delete_takes_all_of_one_request(store: OutputStore, objects: MemoryStore) -> None:
    for request_id in ("r1", "r10", "r1-2"):
        put_result(store, result_of(request_id))
        put_error(store, failure_of(request_id))
        put_artifact(store, request_id, "page.png", b"png", content_type="image/png")
    objects.put("r1/folder/deep.png", b"", content_type="image/png")
    put_raw(objects, "r1/")
    store.delete("r1")
    store.delete("r1")
    store.delete("never-there")
    left = sorted(info.key for info in objects.list())
    assert [key for key in left if key.startswith(("r1.", "r1/"))] == ["r1/"]
    assert len(left) == 7


@pytest.mark.parametrize("request_id", ["../r1", "", "r1/", "r1.json"])
def test_unsafe_request_id_reads_and_removes_nothing(store: OutputStore, request_id: str) -> None:
    put_result(store, result_of("r1", {"page": b"png"}))
    operations: list[Callable[[str], object]] = [store.get, store.wait, store.delete, store.artifacts]
    for operation in operations:
        with pytest.raises(UnsafeObjectKeyError):
            operation(request_id)
    assert len(store.artifacts("r1")) == 1


def test_artifacts_are_those_that_the_result_refers_to(store: OutputStore, objects: MemoryStore) -> None:
    put = [
        put_artifact(store, "r1", name, name.encode(), content_type="image/png")
        for name in ("b.png", "a.png", "of-another-attempt.png")
    ]
    put_artifact(store, "r10", "c.png", b"", content_type="image/png")
    elsewhere = {**put[2].model_dump(), "url": f"{store.url}/r10/c.png"}
    no_reference = {**put[2].model_dump(), "size_bytes": "many"}
    data = {"pages": [put[0], {"type": "artifact", "deep": [[put[1]]]}, put[0], elsewhere, no_reference]}
    put_result(store, result_of("r1", data))
    for strange in ("r1/", "r1/.hidden", "r1/deep/d.png", "r1/ä.png"):
        put_raw(objects, strange)
    assert store.artifacts("r1") == (put[1], put[0])
    assert store.artifact("r1", "a.png") == put[1]
    with store.open_artifact(store.artifacts("r1")[0]) as file:
        assert file.read() == b"a.png"
    with pytest.raises(ObjectNotFoundError, match=r"there is no artifact of-another-attempt\.png of r1"):
        store.artifact("r1", "of-another-attempt.png")
    assert store.artifacts("unknown") == ()


def test_artifacts_are_found_where_outputs_were_copied_to(store: OutputStore, objects: MemoryStore) -> None:
    put_result(store, result_of("r1", {"page": b"png"}))
    copied = MemoryStore(uuid.uuid4().hex)
    for info in objects.list():
        with objects.open(info.key) as file:
            copied.put(info.key, file, content_type=info.content_type or "")
    (reference,) = OutputStore(copied).artifacts("r1")
    assert reference.url.startswith(f"{copied.url}/r1/")
    with OutputStore(copied).open_artifact(reference) as file:
        assert file.read() == b"png"


def test_compressed_result_takes_the_place_of_a_plain_one_and_back(
    store: OutputStore, objects: MemoryStore
) -> None:
    result = result_of("r1", ["größer"] * 1000)
    plain = result.model_dump_json().encode()
    for _ in range(2):
        assert put_result(store, result, compression="gzip") == f"{store.url}/r1.json"
        assert store.get("r1") == result
        with objects.open("r1.json") as file:
            stored = file.read()
        assert gzip.decompress(stored) == plain
        assert len(stored) < len(plain) / 10
        info = objects.head("r1.json")
        assert (info.content_type, info.content_encoding) == ("application/json", "gzip")

        put_result(store, result)
        assert store.get("r1") == result
        assert objects.head("r1.json").content_encoding is None
    assert len([*objects.list()]) == 1


def test_same_result_compresses_to_the_same_bytes(store: OutputStore, objects: MemoryStore) -> None:
    bodies = []
    for request_id in ("r1", "r2"):
        put_result(store, result_of(request_id, [1]), compression="gzip", format="raw")
        with objects.open(f"{request_id}.json") as file:
            bodies.append(file.read())
    assert bodies[0] == bodies[1]


def test_compressed_failure_is_told(store: OutputStore) -> None:
    put_error(store, failure_of("r1"), compression="gzip")
    with pytest.raises(RequestFailedError, match="boom"):
        store.get("r1")


@pytest.mark.parametrize("cut", [2, 9, 11, 40, -9, -1])
def test_compressed_result_that_is_cut_off_is_damaged(store: OutputStore, cut: int) -> None:
    whole = gzip.compress(result_of("r1", "x").model_dump_json().encode())
    put_foreign(store, "r1", whole[:cut])
    with pytest.raises(InvalidResultError, match=r"r1\.json cannot be decompressed"):
        store.get("r1")


def test_any_bytes_are_a_result_or_damaged(store: OutputStore) -> None:
    whole = gzip.compress(result_of("r1", "x").model_dump_json().encode(), mtime=0)
    for place in range(2, len(whole)):
        put_foreign(store, "r1", whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(InvalidResultError):
            assert store.get("r1").data == "x"
