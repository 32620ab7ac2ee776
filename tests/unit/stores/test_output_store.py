from __future__ import annotations

import io
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest

from tests.outputs import put_artifact, put_foreign, put_result
from truss_async.contract import ArtifactReference, AsyncPredictResult, ErrorDetail
from truss_async.errors import InvalidResultError, ObjectNotFoundError, OutputStoreError, UnsafeObjectKeyError
from truss_async.stores import OutputStore, object_store
from truss_async.stores.memory_store import MemoryStore
from truss_async.stores.probe import check_writable

if TYPE_CHECKING:
    from pathlib import Path

    from truss_async.stores.protocol import Body

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.fixture
def store(folder: Path) -> OutputStore:
    return OutputStore.from_url(folder.as_uri())


def result_of(request_id: str, data: Any = None, **more: Any) -> AsyncPredictResult:
    return AsyncPredictResult(request_id=request_id, time=NOON, data=data, **more)


@pytest.mark.parametrize(
    "data", [None, "text", [1, 2.5, True], {"läge": "größer", "nested": {"a": [None]}}, 0.1 + 0.2]
)
def test_result_comes_back_as_it_was(store: OutputStore, folder: Path, data: Any) -> None:
    result = result_of("r1", data, model_id="m", deployment_id="d")
    assert put_result(store, result) == f"{store.url}/r1.json"
    assert store.get("r1") == result
    assert (folder / "r1.json").read_bytes() == result.model_dump_json().encode()


def test_error_result_comes_back(store: OutputStore) -> None:
    result = result_of("r1", errors=[ErrorDetail(code="MODEL_PREDICT_ERROR", message="boom")])
    put_foreign(store, "r1", result.model_dump_json().encode())
    assert store.get("r1") == result


def test_later_result_of_a_request_replaces_the_earlier(store: OutputStore) -> None:
    put_result(store, result_of("r1", "first"))
    put_result(store, result_of("r1", "second"))
    assert store.get("r1").data == "second"


def test_object_tells_its_request_and_content_type() -> None:
    objects = object_store("memory://test_output_store")
    put_result(objects, result_of("r1"))
    put_artifact(objects, "r1", "page.png", b"png", content_type="image/png")
    result, artifact = objects.head("r1.json"), objects.head("r1/page.png")
    assert (result.content_type, artifact.content_type) == ("application/json", "image/png")
    assert result.metadata["request-id"] == artifact.metadata["request-id"] == "r1"


def test_unknown_request_is_not_found(store: OutputStore) -> None:
    with pytest.raises(ObjectNotFoundError, match="there is no object"):
        store.get("r1")


@pytest.mark.parametrize("cut", [0, 1, 40, -1])
def test_result_that_was_cut_off_is_told_from_an_absent_one(store: OutputStore, cut: int) -> None:
    put_foreign(store, "r1", result_of("r1", {"card": "4111-1111"}).model_dump_json().encode()[:cut])
    with pytest.raises(InvalidResultError, match=r"r1\.json is not an async predict result"):
        store.get("r1")


@pytest.mark.parametrize("body", [b"[]", b'{"card": "4111-1111"}', b"\xff\xfe", b"null"])
def test_object_that_is_no_result_is_refused_without_quoting_it(store: OutputStore, body: bytes) -> None:
    put_foreign(store, "r1", body)
    with pytest.raises(InvalidResultError) as refused:
        store.get("r1")
    assert "4111" not in str(refused.value)
    assert refused.value.__suppress_context__


def test_result_of_another_request_is_refused(store: OutputStore) -> None:
    put_foreign(store, "r1", result_of("r2").model_dump_json().encode())
    with pytest.raises(InvalidResultError, match="another request"):
        store.get("r1")


@pytest.mark.parametrize("request_id", ["../r1", "a/b", "", ".x", "x.json"])
def test_unsafe_request_id_touches_nothing(store: OutputStore, folder: Path, request_id: str) -> None:
    with pytest.raises(UnsafeObjectKeyError):
        put_result(store, result_of(request_id))
    with pytest.raises(UnsafeObjectKeyError):
        put_artifact(store, request_id, "page.png", b"", content_type="image/png")
    with pytest.raises(UnsafeObjectKeyError):
        store.get(request_id)
    assert not folder.exists()


def test_artifact_of_any_form_is_stored_beside_the_result(store: OutputStore, tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    path.write_bytes(b"a page")
    bodies: dict[str, Body] = {"1.png": b"a page", "2.png": path, "3.png": io.BytesIO(b"a page")}
    for name, body in bodies.items():
        reference = put_artifact(store, "r1", name, body, content_type="image/png")
        assert reference == ArtifactReference(
            url=f"{store.url}/r1/{name}", content_type="image/png", size_bytes=6
        )
        with store.open_artifact(reference) as file:
            assert file.read() == b"a page"


def test_artifact_file_that_is_missing_is_named(store: OutputStore, tmp_path: Path) -> None:
    with pytest.raises(
        OutputStoreError, match=r"cannot read .*/absent\.png that was to be stored: No such file"
    ):
        put_artifact(store, "r1", "page.png", tmp_path / "absent.png", content_type="image/png")


@pytest.mark.parametrize(
    "ending",
    ["/../secret", "/r1/../../secret", "-other/r1/page.png", "", "/", "/r1//page.png", "/r1/%2e%2e/../x"],
)
def test_reference_that_leads_out_of_the_store_is_refused(
    store: OutputStore, folder: Path, ending: str
) -> None:
    (folder.parent / "secret").write_text("secret")
    reference = ArtifactReference(url=store.url + ending, content_type="image/png", size_bytes=1)
    with pytest.raises(OutputStoreError):
        store.open_artifact(reference)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "s3://bucket/r1/page.png", "memory://x", "/etc/passwd"]
)
def test_reference_to_another_store_is_refused(store: OutputStore, url: str) -> None:
    with pytest.raises(OutputStoreError, match="is not in the store"):
        store.open_artifact(ArtifactReference(url=url, content_type="image/png", size_bytes=1))


def test_reference_survives_a_trip_through_the_stored_json(store: OutputStore) -> None:
    reference = put_artifact(store, "r1", "page.png", b"a page", content_type="image/png")
    put_result(store, result_of("r1", {"page": reference}))
    found = ArtifactReference.model_validate(store.get("r1").data["page"])
    with store.open_artifact(found) as file:
        assert file.read() == b"a page"


def test_check_of_a_writable_store_leaves_nothing(folder: Path) -> None:
    check_writable(object_store(folder.as_uri()))
    assert list(folder.iterdir()) == []


class Immutable(MemoryStore):
    """What is there stays. ``refuses`` are further keys that cannot be written."""

    refuses = ""

    def put(self, key: str, body: Body, **described: Any) -> None:
        is_there = any(info.key == key for info in self.list())
        if key == self.refuses or (is_there and not described.get("only_if_absent")):
            raise OutputStoreError(f"cannot write {self.url}/{key}: AccessDenied", passes=False)
        super().put(key, body, **described)

    def delete(self, key: str) -> None:
        raise OutputStoreError(f"cannot delete {self.url}/{key}: AccessDenied", passes=False)


def test_check_overwrites_nothing_and_needs_no_right_to_remove() -> None:
    store = Immutable("test-check-twice")
    for _ in range(3):
        check_writable(store)
    assert [info.key for info in store.list()] == ["truss-async-probe"]


@pytest.mark.parametrize("has_conditions", [True, False])
def test_check_of_a_store_that_refuses_the_one_name_tries_another(
    monkeypatch: pytest.MonkeyPatch, has_conditions: bool
) -> None:
    monkeypatch.setattr(Immutable, "has_conditional_puts", has_conditions)
    store = Immutable(f"test-check-refused-{has_conditions}")
    store.refuses = "truss-async-probe"
    for _ in range(2):
        check_writable(store)
    assert len([*store.list("truss-async-probe-")]) == 2


def test_check_of_a_store_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputStoreError, match="cannot write"):
        check_writable(object_store((tmp_path / "file" / "x").as_uri()))


def test_result_that_other_hands_have_formatted_is_read(store: OutputStore) -> None:
    body = json.dumps(result_of("r1").model_dump(mode="json"), indent=4).encode()
    put_foreign(store, "r1", body)
    assert store.get("r1") == result_of("r1")
