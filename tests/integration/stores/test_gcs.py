"""What is particular to Google Cloud Storage, against fake-gcs-server."""

from __future__ import annotations

import uuid

import pytest

from truss_async.errors import OutputStoreError
from truss_async.stores import ObjectStore, OutputStore, object_store

BIG = 20_000_000


@pytest.fixture
def store(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    return object_store(f"gs://outputs/{uuid.uuid4().hex}")


def test_missing_bucket_is_said_with_the_remedy(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    outputs = OutputStore.from_url("gs://no-such-bucket/out")
    with pytest.raises(
        OutputStoreError, match=r"cannot write gs://no-such-bucket/out/\S+: there is no such bucket"
    ):
        outputs.check_writable()
    with pytest.raises(OutputStoreError, match="there is no such bucket"):
        outputs.put_artifact("r1", "big.bin", bytes(BIG), content_type="image/png")


def test_large_object_that_is_replaced_while_it_is_read_is_never_mixed(store: ObjectStore) -> None:
    store.put("r1.bin", b"a" * BIG, content_type="image/png")
    with store.open("r1.bin") as file:
        content = file.read(1_000_000)
        store.put("r1.bin", b"b" * BIG, content_type="image/png")
        with pytest.raises(OutputStoreError, match="it was replaced or removed meanwhile; read it again"):
            content += file.read()
    assert set(content) == set(b"a")
