"""Finding what a model saved under templates of its own."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.outputs import saver_of
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.errors import InvalidResultError, ObjectNotFoundError, RequestFailedError, SettingsError
from truss_async.model.destination import Destinations
from truss_async.model.file_parts import FilePart
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.stores import OutputStore
from truss_async.stores.compression import compressed
from truss_async.stores.layout import DEFAULT_KEY, layout_of
from truss_async.stores.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from truss_async.stores import ObjectInfo
    from truss_async.stores.compression import Compression

BOOM = ErrorDetail(code="MODEL_PREDICT_ERROR", message="boom")
NOON = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
VALUES = {"model_id": "m", "deployment_id": "dep", "environment": None}
TEMPLATES = [
    ("memory://b/out", DEFAULT_KEY),
    ("memory://b/{model_id}", "{request_id}/out.json"),
    ("memory://b/{date:%Y/%m/%d}", DEFAULT_KEY),
    ("memory://b/x-{date}/y", "{deployment_id}/{date:%H}-{request_id}.json"),
    ("memory://b/{environment}/{date:%A, %d. %B}", "{request_id}/{request_id}.json"),
    ("memory://b", "results/{environment}/{request_id}-{date:%j}.json"),
]
NAMES = st.from_regex(r"[A-Za-z0-9_-]([A-Za-z0-9_-]{0,20}[A-Za-z0-9_-])?", fullmatch=True)


class CountingStore(MemoryStore):
    """Tells what it was asked to list."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.listings: list[str] = []

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self.listings.append(prefix)
        return super().list(prefix)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def opened(
    url: str, key: str, clock: ManualClock, **values: Any
) -> tuple[OutputStore, CountingStore, OutputSaver]:
    """What was saved with these settings, what it lies in, and what saves it."""
    root, layout = layout_of(url, key, values=values)
    name = uuid.uuid4().hex

    def open_store(url: str) -> CountingStore:
        return CountingStore(name, prefix=url.removeprefix("memory://"), clock=clock)

    objects, environment = open_store(root), values.pop("environment", None)
    settings = OutputSettings(url=url, key=key, **values)
    destinations = Destinations(settings, environment=environment, open_store=open_store)
    saver = OutputSaver(settings, destinations=destinations, clock=clock)
    return OutputStore(objects, layout=layout, clock=clock), objects, saver


@pytest.mark.parametrize(("url", "key"), TEMPLATES)
def test_what_is_saved_is_found_by_who_does_not_know_when_or_where(
    url: str, key: str, clock: ManualClock
) -> None:
    _, objects, saver = opened(url, key, clock, **{**VALUES, "environment": "prod"})
    for request_id in ("r1", "r10", "r1-2"):
        page = FilePart(b"a page", "application/json", "page.json")
        saver.save(request_id, {"of": request_id, "page": page})
        clock.advance(hours=30)
    saver.save_error("r2", BOOM)
    clock.advance(hours=168)

    _, layout = layout_of(url, key, values=VALUES)
    reader = OutputStore(_at_root(objects, url, key), layout=layout, clock=clock)
    for request_id in ("r1", "r10", "r1-2"):
        assert reader.get(request_id).data["of"] == request_id
        (reference,) = reader.artifacts(request_id)
        assert reader.artifact(request_id, "page.json").url == reference.url
        with reader.open_artifact(reference) as file:
            assert file.read() == b"a page"
    assert sorted(info.request_id for info in reader.list()) == ["r1", "r1-2", "r10"]
    assert sorted(info.request_id for info in reader.list(prefix="r1-")) == ["r1-2"]
    with pytest.raises(RequestFailedError, match="boom"):
        reader.get("r2")
    with pytest.raises(ObjectNotFoundError):
        reader.get("r3")
    reader.delete("r1")
    reader.delete("r2")
    left = [info.key for info in objects.list()]
    assert len(left) == 4
    assert all("r10" in each or "r1-2" in each for each in left)


def _at_root(objects: CountingStore, url: str, key: str) -> CountingStore:
    """The same objects, seen from where a reader with fewer values stands."""
    name, prefix = objects.url.removeprefix("memory://").partition("/")[::2]
    root, _ = layout_of(url, key, values=VALUES)
    assert prefix.startswith(root.removeprefix("memory://"))
    return CountingStore(name, prefix=root.removeprefix("memory://"), clock=objects._clock)


def test_result_of_late_is_found_without_a_listing(clock: ManualClock) -> None:
    store, objects, saver = opened("memory://b/{date:%Y/%m/%d}", DEFAULT_KEY, clock)
    saver.save("r1", 1)
    clock.advance(hours=47)
    assert store.get("r1").data == 1
    assert objects.listings == []
    clock.advance(hours=72)
    assert store.get("r1").data == 1
    assert objects.listings == [f"2026/03/0{day}/r1" for day in (6, 5, 4)]


@pytest.mark.parametrize(
    ("url", "key", "listed"),
    [
        ("memory://b/{date}", DEFAULT_KEY, "2026-03-2{day}/r1"),
        ("memory://b/{date:%Y/%m/%d/%H}", DEFAULT_KEY, "2026/03/2{day}/"),
        ("memory://b/{date}", "{model_id}/{request_id}.json", "2026-03-2{day}/"),
        ("memory://b/{date:%Y}", "{request_id}-{date:%j}.json", "2026/r1"),
        ("memory://b/{date:%H}", DEFAULT_KEY, ""),
    ],
)
def test_without_the_date_a_month_of_days_is_listed_one_by_one_and_all_of_it_last(
    url: str, key: str, listed: str, clock: ManualClock
) -> None:
    store, objects, _ = opened(url, key, clock)
    clock.advance(hours=30 * 24)
    with pytest.raises(ObjectNotFoundError, match=r"r1 in memory://.*[^…]$"):
        store.get("r1")
    assert len(objects.listings) == len(set(objects.listings)) <= (33 if "{day}" in listed else 2)
    assert listed.format(day=1) in objects.listings
    assert objects.listings[-1] == ""


def test_who_knows_since_when_looks_no_further_back_or_further(clock: ManualClock) -> None:
    store, objects, saver = opened("memory://b/{date}", DEFAULT_KEY, clock)
    saver.save("r1", 1)
    clock.advance(hours=24 * 100)
    assert store.get("r1", since=NOON).data == 1
    assert "" not in objects.listings
    objects.listings.clear()
    assert store.get("r1").data == 1
    assert objects.listings[-1] == ""
    objects.listings.clear()
    with pytest.raises(
        ObjectNotFoundError, match=r"since 2026-0[56]-..; an older one is found by an earlier since=…"
    ):
        store.get("r1", since=clock.now())
    assert objects.listings == []
    saver.save("r2", 2)
    before = clock.now()
    clock.advance(hours=20)  # the day is another
    assert store.get("r2", since=before).data == 2
    assert objects.listings == []


def test_the_latest_of_several_results_counts_and_no_error_hides_it(clock: ManualClock) -> None:
    store, _, saver = opened("memory://b/{date}", DEFAULT_KEY, clock)
    for data in ("first", "second"):
        saver.save("r1", data)
        clock.advance(hours=120)
    saver.save_error("r1", BOOM)
    assert store.get("r1").data == "second"
    clock.advance(hours=120)
    assert store.get("r1").data == "second"


def test_waiting_lists_once_and_then_looks_where_a_result_would_be(clock: ManualClock) -> None:
    store, objects, saver = opened("memory://b/{date}", DEFAULT_KEY, clock)

    class Passing(ManualClock):
        def block(self, seconds: float) -> None:
            self.advance(seconds)
            if (self.now() - NOON).total_seconds() > 60:
                saver.save("r1", 1)

    assert store.wait("r1", clock=Passing(NOON)).data == 1
    assert len(objects.listings) == len(set(objects.listings)) < 33


def test_values_that_are_given_spare_the_search(clock: ManualClock) -> None:
    store, objects, saver = opened(
        "memory://b/{environment}", "{model_id}/{request_id}.json", clock, environment="e", model_id="m"
    )
    saver.save("r1", 1)
    assert store.get("r1").data == 1
    assert store.url.endswith("/b/e")
    assert objects.listings == []
    assert [info.key for info in objects.list()] == ["m/r1.json"]


@pytest.mark.parametrize(
    ("url", "key", "message"),
    [
        ("s3://{environment}/x", DEFAULT_KEY, "name of the bucket"),
        ("s3://b-{date}", DEFAULT_KEY, "name of the bucket"),
        ("{environment}", DEFAULT_KEY, "name of the bucket"),
        ("s3://b/{region}", DEFAULT_KEY, "unknown {region}; allowed are {model_id}"),
        ("s3://b/{request_id}", DEFAULT_KEY, "unknown {request_id}"),
        ("s3://b/{date", DEFAULT_KEY, "expected '}'"),
        ("s3://b", "same.json", "must hold {request_id}"),
        ("s3://b", "{request_id}.txt", "must end with .json"),
    ],
)
def test_wrong_template_is_refused_with_the_reason(url: str, key: str, message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        OutputStore.from_url(url, key=key)
    assert message in str(refused.value)


@given(NAMES, NAMES, st.sampled_from([key for _, key in TEMPLATES]), st.integers(0, 10**9))
def test_a_key_tells_its_request_whatever_the_date(
    request_id: str, name: str, key: str, seconds: int
) -> None:
    values = {"deployment_id": "d", "environment": "e"}
    _, writing = layout_of("memory://b", key, values=values)
    _, reading = layout_of("memory://b", key, values={})
    now = NOON + timedelta(seconds=seconds)
    keys = writing.keys_of(request_id, now=now)
    assert reading.request_id_of(keys.result) == request_id or "-{date" in key or "}-{" in key
    assert writing.kind_of(keys.result, request_id) == "result"
    assert writing.kind_of(keys.error, request_id) == "error"
    assert writing.kind_of(keys.artifact(name), request_id) == "artifact"
    assert writing.kind_of(keys.artifact(name, attempt_id="0a" * 16), request_id) == "artifact"
    assert (
        writing.kind_of(keys.artifact(name, attempt_id="0a" * 16), "0a" * 16) is None
        or request_id == "0a" * 16
    )
    assert keys.result.startswith(writing.prefix(request_id[:2]))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
def test_raw_outputs_come_back_as_results(clock: ManualClock, compression: Compression) -> None:
    objects = MemoryStore(uuid.uuid4().hex, clock=clock)
    store = OutputStore(objects, format="raw", clock=clock)
    body = b'{"text": "hello hello hello hello", "numbers": [1, null]}'
    objects.put("r1.json", compressed(body, compression), content_type="application/json")
    clock.advance(hours=1)
    expected = {"text": "hello hello hello hello", "numbers": [1, None]}
    assert store.get("r1") == AsyncPredictResult(request_id="r1", time=NOON, data=expected)

    objects.put("r1.json", compressed(body, compression)[:-3], content_type="application/json")
    with pytest.raises(InvalidResultError, match=r"r1\.json .*cut off"):
        store.get("r1")
    with pytest.raises(ObjectNotFoundError):
        store.get("r2")
    saver_of(objects, clock=clock).save_error("r2", BOOM)
    with pytest.raises(RequestFailedError, match="boom"):
        store.get("r2")


def test_search_goes_no_further_than_the_known_part_of_the_url() -> None:
    root, layout = layout_of("s3://b/a/x-{date}/c", "{request_id}.json", values={})
    assert (root, layout.prefix("r1")) == ("s3://b/a", "x-")
    assert layout.request_id_of("x-2026-01-31/c/r1.json") == "r1"
    for stranger in ("x-2026-1-31/c/r1.json", "2026-01-31/c/r1.json", "x-2026-01-31/r1.json", "r1.json"):
        assert layout.request_id_of(stranger) is None
    likely = layout.likely_keys("r1", now=NOON - timedelta(hours=12))
    assert [keys.result for keys in likely] == [
        "x-2026-03-04/c/r1.json",
        "x-2026-03-03/c/r1.json",
        "x-2026-03-02/c/r1.json",
    ]
