"""What every store promises, on each of them."""

from __future__ import annotations

import errno
import gzip
import io
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.outputs import put_artifact, put_error, put_result
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.errors import (
    ObjectExistsError,
    ObjectNotFoundError,
    OutputStoreError,
    RequestFailedError,
    SettingsError,
    UnsafeObjectKeyError,
)
from truss_async.stores import OutputStore, StoreOptions
from truss_async.stores.file_store import FileStore
from truss_async.stores.probe import check_writable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from truss_async.stores import ObjectStore
    from truss_async.stores.compression import Compression
    from truss_async.stores.protocol import Body

SIZES = [0, 1000, 17_000_001]
SIZE_NAMES = ["empty", "small", "in parts"]
UNSAFE_KEYS = ["", "/", "../x", "a/../../x", "/etc/x", "a//b", "a/", "./a", ".hidden", "a\\b", "a\0b"]


class FailingFile(io.BytesIO):
    """A file whose disk gives out half-way."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() + (size or 0) > 12_000_000 or (size is None or size < 0):
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def put(store: ObjectStore, key: str, body: Body = b"{}") -> None:
    store.put(key, body, content_type="application/json")


def content_of(store: ObjectStore, key: str) -> bytes:
    with store.open(key) as file:
        return file.read()


def keys_of(store: ObjectStore, prefix: str = "") -> list[str]:
    return sorted(info.key for info in store.list(prefix))


@pytest.mark.parametrize("size", SIZES, ids=SIZE_NAMES)
def test_body_of_any_form_comes_back_as_it_was(store: ObjectStore, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "source"
    path.write_bytes(content)
    put(store, "bytes.json", content)
    put(store, "path.json", path)
    with path.open("rb") as file:
        put(store, "file.json", file)
        assert not file.closed
        file.seek(min(10, size))
        put(store, "rest.json", file)
    for key in ("bytes.json", "path.json", "file.json"):
        assert content_of(store, key) == content
        assert store.head(key).size_bytes == size
    assert content_of(store, "rest.json") == content[10:]


def test_stream_that_cannot_seek_comes_back_as_it_was(store: ObjectStore) -> None:
    content = os.urandom(3_000_000)
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(content)

    with ThreadPoolExecutor(1) as pool, os.fdopen(reading, "rb") as pipe:
        feeding = pool.submit(feed)
        put(store, "stream.json", pipe)
        feeding.result(timeout=10)
    assert content_of(store, "stream.json") == content


def test_object_is_read_piece_by_piece(store: ObjectStore) -> None:
    content = os.urandom(1_000_000)
    put(store, "r1.json", content)
    with store.open("r1.json") as file:
        pieces = list(iter(lambda: file.read(300_000), b""))
    assert [len(piece) for piece in pieces] == [300_000, 300_000, 300_000, 100_000]
    assert b"".join(pieces) == content


def test_put_replaces_the_object_of_its_key(store: ObjectStore) -> None:
    put(store, "r1.json", b"a longer first one")
    put(store, "r1.json", b"second")
    assert content_of(store, "r1.json") == b"second"
    assert keys_of(store) == ["r1.json"]


@pytest.mark.parametrize("size", [1000, 20_000_000], ids=["small", "in parts"])
def test_head_tells_what_was_put(store: ObjectStore, size: int) -> None:
    earliest = SYSTEM_CLOCK.now() - timedelta(seconds=5)
    metadata = {} if isinstance(store, FileStore) else {"request-id": "r1", "model-id": "m"}
    store.put("r1/page.png", bytes(size), content_type="image/png", metadata=metadata)
    info = store.head("r1/page.png")
    assert (info.key, info.size_bytes, info.content_type) == ("r1/page.png", size, "image/png")
    assert info.metadata == metadata
    assert info.modified_at is not None
    assert earliest <= info.modified_at <= SYSTEM_CLOCK.now() + timedelta(seconds=5)


def test_object_stays_if_it_is_to_be_written_only_if_absent(store: ObjectStore) -> None:
    assert_stays(store, size=1000)


# Not GCS: its emulator ignores the condition on uploads in parts.
@pytest.mark.parametrize("open_store", ["memory", "file", "s3", "azure"], indirect=True)
def test_object_in_parts_stays_if_it_is_to_be_written_only_if_absent(store: ObjectStore) -> None:
    assert_stays(store, size=17_000_000)


def assert_stays(store: ObjectStore, *, size: int) -> None:
    first, second = b"1" * size, b"2" * size
    store.put("r1.bin", first, content_type="image/png", only_if_absent=True)
    with pytest.raises(ObjectExistsError, match=r"there is an object \S+/out/r1\.bin already"):
        store.put("r1.bin", second, content_type="image/png", only_if_absent=True)
    assert content_of(store, "r1.bin") == first
    assert keys_of(store) == ["r1.bin"]
    store.put("r1.bin", second, content_type="image/png")
    assert content_of(store, "r1.bin") == second


def test_one_of_many_that_write_at_once_is_first(store: ObjectStore) -> None:
    def write(number: int) -> int | None:
        try:
            store.put("r1.bin", b"%d" % number, content_type="image/png", only_if_absent=True)
        except ObjectExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        first = [number for number in pool.map(write, range(16)) if number is not None]
    assert [b"%d" % number for number in first] == [content_of(store, "r1.bin")]


# Not a folder: it keeps no metadata, and loses no answer.
@pytest.mark.parametrize("open_store", ["memory", "s3", "gs", "azure"], indirect=True)
def test_own_write_whose_answer_was_lost_is_no_other_object(store: ObjectStore) -> None:
    own = {"attempt-id": "a1"}
    for _ in range(2):
        store.put("r1.bin", b"1", content_type="image/png", metadata=own, only_if_absent=True)
    with pytest.raises(ObjectExistsError):
        store.put(
            "r1.bin", b"2", content_type="image/png", metadata={"attempt-id": "a2"}, only_if_absent=True
        )
    assert store.head("r1.bin").metadata == own


def test_headers_of_the_options_are_given_back(
    request: pytest.FixtureRequest, open_store: Callable[..., ObjectStore]
) -> None:
    kind = request.node.callspec.params["open_store"]
    options = StoreOptions(headers={"Cache-Control": "max-age=7", "Content-Disposition": "attachment"})
    if kind in ("memory", "file"):
        with pytest.raises(SettingsError, match="does not support that"):
            open_store("out", options=options)
        return
    store = open_store("out", options=options)
    for size in (1000, 17_000_000):
        store.put(f"{size}.bin", bytes(size), content_type="image/png")
        assert store.head(f"{size}.bin").content_type == "image/png"
        if kind != "gs":  # signs no URL, and needs no signature
            url = store.presign(f"{size}.bin", expires_in=timedelta(minutes=1))
        else:
            url = f"{request.getfixturevalue('gcs_server')}/{store.url.removeprefix('gs://')}/{size}.bin"
        headers = httpx.head(url).headers if kind == "azure" else httpx.get(url).headers
        assert (headers["cache-control"], headers["content-disposition"]) == ("max-age=7", "attachment")


def test_absent_object_is_not_found(store: ObjectStore) -> None:
    put(store, "r1.json")
    for key in ("r2.json", "r1.json/x", "r1", "a/b/c.json"):
        with pytest.raises(ObjectNotFoundError, match=r"there is no object .*/out/"):
            store.open(key)
        with pytest.raises(ObjectNotFoundError, match=r"there is no object .*/out/"):
            store.head(key)


def test_deleted_object_is_gone_and_deleting_twice_is_fine(store: ObjectStore) -> None:
    put(store, "r1.json")
    put(store, "r1/page.png")
    store.delete("r1.json")
    store.delete("r1.json")
    store.delete("never/there.json")
    assert keys_of(store) == ["r1/page.png"]


def test_listing_is_narrowed_by_a_prefix(store: ObjectStore) -> None:
    keys = ["r1-2.json", "r1.json", "r1/a.png", "r1/b/c.png", "r10.json", "r2.json"]
    for key in reversed(keys):
        put(store, key)
    assert keys_of(store) == keys
    assert keys_of(store, "r1") == keys[:5]
    assert keys_of(store, "r1/") == keys[2:4]
    assert keys_of(store, "r1/b") == ["r1/b/c.png"]
    assert keys_of(store, "r3") == []
    assert keys_of(store, "r3/x/") == []
    assert [info.size_bytes for info in store.list("r2")] == [2]


def test_listing_of_a_store_without_objects_is_empty(store: ObjectStore) -> None:
    assert keys_of(store) == []


def test_neighbouring_stores_do_not_see_each_other(open_store: Callable[[str], ObjectStore]) -> None:
    ours, theirs, inner = open_store("out"), open_store("out-2"), open_store("out/inner")
    put(theirs, "r1.json")
    put(inner, "r1.json")
    assert keys_of(ours) == ["inner/r1.json"]
    assert keys_of(ours, "-2") == []
    assert keys_of(ours, "../") == []


@pytest.mark.parametrize("key", UNSAFE_KEYS)
def test_key_that_could_leave_the_store_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(UnsafeObjectKeyError):
        put(store, key)
    with pytest.raises(UnsafeObjectKeyError):
        store.open(key)
    with pytest.raises(UnsafeObjectKeyError):
        store.head(key)
    with pytest.raises(UnsafeObjectKeyError):
        store.delete(key)
    with pytest.raises(UnsafeObjectKeyError):
        store.presign(key, expires_in=timedelta(minutes=1))
    assert keys_of(store) == []


def test_presigned_url_needs_no_credentials_or_is_refused_with_the_reason(store: ObjectStore) -> None:
    put(store, "r1/ä b+c.json", b"content")
    if store.url.startswith(("s3://", "azure://")):
        answer = httpx.get(store.presign("r1/ä b+c.json", expires_in=timedelta(minutes=1)))
        assert (answer.status_code, answer.content) == (200, b"content")
        return
    with pytest.raises(OutputStoreError, match=r"cannot presign .*/out/r1/ä b\+c\.json: only "):
        store.presign("r1/ä b+c.json", expires_in=timedelta(minutes=1))


def test_source_that_fails_half_way_leaves_the_earlier_object(store: ObjectStore) -> None:
    put(store, "r1.json", b"earlier")
    for key in ("r1.json", "r2.json"):
        with pytest.raises(OutputStoreError, match="Input/output error"):
            put(store, key, FailingFile(bytes(20_000_000)))
    assert content_of(store, "r1.json") == b"earlier"
    assert keys_of(store) == ["r1.json"]


def test_many_threads_share_one_store(store: ObjectStore) -> None:
    def save_and_read(number: int) -> bytes:
        put(store, f"r{number}.json", b"%d" % number)
        return content_of(store, f"r{number}.json")

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(save_and_read, range(100))) == [b"%d" % number for number in range(100)]


def test_readers_see_one_whole_object_while_it_is_replaced(store: ObjectStore) -> None:
    versions = [bytes([letter]) * 50_000 for letter in b"ab"]
    put(store, "r1.json", versions[0])

    def write(number: int) -> None:
        put(store, "r1.json", versions[number % 2])

    with ThreadPoolExecutor(4) as pool:
        writing = [pool.submit(write, number) for number in range(40)]
        for _ in range(40):
            assert content_of(store, "r1.json") in versions
        for each in writing:
            each.result(timeout=30)


def test_output_store_keeps_results_and_artifacts(store: ObjectStore) -> None:
    outputs = OutputStore(store)
    check_writable(store)
    assert keys_of(store) == []
    page = put_artifact(outputs, "r1", "page.png", b"a page", content_type="image/png")
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    result = AsyncPredictResult(request_id="r1", time=moment, data={"page": page.model_dump(), "ä": "ö"})
    assert put_result(outputs, result) == f"{store.url}/r1.json"
    assert outputs.get("r1") == result
    with outputs.open_artifact(page) as file:
        assert file.read() == b"a page"
    assert keys_of(store) == ["r1.json", "r1/page.png"]


def test_output_store_finds_lists_and_removes_what_was_saved(store: ObjectStore) -> None:
    outputs = OutputStore(store)
    earliest = SYSTEM_CLOCK.now() - timedelta(seconds=5)
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    page = put_artifact(outputs, "r1", "page.png", b"a page", content_type="image/png")
    result = AsyncPredictResult(request_id="r1", time=moment, data={"ä": page})
    put_result(outputs, result)
    result.data = {"ä": page.model_dump()}
    failed = AsyncPredictResult(
        request_id="r2", time=moment, errors=[ErrorDetail(code="MODEL_PREDICT_ERROR", message="größer")]
    )
    put_error(outputs, failed)

    assert outputs.wait("r1", timeout_seconds=0) == result
    with pytest.raises(RequestFailedError, match="größer") as raised:
        outputs.wait("r2", timeout_seconds=0)
    assert raised.value.result == failed
    with pytest.raises(ObjectNotFoundError):
        outputs.get("r3")

    assert [(info.request_id, info.size_bytes) for info in outputs.list(since=earliest)] == [
        ("r1", len(result.model_dump_json().encode()))
    ]
    assert [*outputs.list(since=earliest + timedelta(hours=1))] == [*outputs.list(prefix="r2")] == []
    assert outputs.artifacts("r1") == (page,)

    outputs.delete("r1")
    assert keys_of(store) == ["r2.error.json"]
    outputs.delete("r2")
    outputs.delete("r2")
    assert keys_of(store) == []


@pytest.mark.parametrize("size", [1000, 17_000_000], ids=["small", "in parts"])
def test_compressed_object_comes_back_as_it_was_put(store: ObjectStore, size: int) -> None:
    content = gzip.compress(os.urandom(size), 1)
    store.put("r1.json", content, content_type="application/json", content_encoding="gzip")
    assert content_of(store, "r1.json") == content
    info = store.head("r1.json")
    assert info.size_bytes == len(content)
    assert info.content_encoding == (None if isinstance(store, FileStore) else "gzip")


def test_output_store_reads_results_compressed_or_not(store: ObjectStore) -> None:
    outputs = OutputStore(store)
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    result = AsyncPredictResult(request_id="r1", time=moment, data=["größer"] * 100)
    kinds: list[Compression] = ["gzip", "zstd"]
    for kind in kinds:
        put_result(outputs, result, compression=kind)
        assert outputs.get("r1") == result
        info = store.head("r1.json")
        assert info.size_bytes < 300
        assert info.content_encoding == (None if isinstance(store, FileStore) else kind)
    put_result(outputs, result)
    assert outputs.get("r1") == result
    assert store.head("r1.json").content_encoding is None
