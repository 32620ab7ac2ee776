"""What is particular to Google Cloud Storage, against fake-gcs-server."""

from __future__ import annotations

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.outputs import put_artifact
from truss_async.errors import OutputStoreError
from truss_async.stores import ObjectStore, StoreCredentials, object_store
from truss_async.stores.probe import check_writable

BIG = 20_000_000


@pytest.fixture
def store(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    return object_store(f"gs://outputs/{uuid.uuid4().hex}")


def test_missing_bucket_is_said_with_the_remedy(gcs_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server)
    outputs = object_store("gs://no-such-bucket/out")
    with pytest.raises(
        OutputStoreError, match=r"cannot write gs://no-such-bucket/out/\S+: the bucket does not exist"
    ):
        check_writable(outputs)
    with pytest.raises(OutputStoreError, match="the bucket does not exist"):
        put_artifact(outputs, "r1", "big.bin", bytes(BIG), content_type="image/png")


def test_large_object_that_is_replaced_while_it_is_read_is_never_mixed(store: ObjectStore) -> None:
    store.put("r1.bin", b"a" * BIG, content_type="image/png")
    with store.open("r1.bin") as file:
        content = file.read(1_000_000)
        store.put("r1.bin", b"b" * BIG, content_type="image/png")
        with pytest.raises(
            OutputStoreError, match="the object was replaced or removed during the read; read it again"
        ):
            content += file.read()
    assert set(content) == set(b"a")


def test_service_account_key_signs_urls(store: ObjectStore) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "client_email": "me@p.iam.gserviceaccount.com",
        "token_uri": "http://127.0.0.1:1/token",
        "private_key": pem.decode(),
    }
    signing = object_store(
        store.url, credentials=StoreCredentials(gcp_service_account_json=json.dumps(account))
    )
    store.put("r1/ä b.png", b"a page", content_type="image/png")
    url = signing.presign("r1/ä b.png", expires_in=timedelta(minutes=5))
    answer = httpx.get(url)
    assert (answer.status_code, answer.content) == (200, b"a page")
    query = httpx.URL(url).params
    assert (query["X-Goog-Algorithm"], query["X-Goog-Expires"]) == ("GOOG4-RSA-SHA256", "300")
    assert query["X-Goog-Credential"].startswith("me@p.iam.gserviceaccount.com/")
    # The emulator checks no signature; this is the string that Google has one made of.
    path = httpx.URL(url).raw_path.decode().partition("&X-Goog-Signature=")[0]
    request = "\n".join(
        [
            "GET",
            path.replace("?", "\n"),
            f"host:{httpx.URL(url).netloc.decode()}",
            "",
            "host",
            "UNSIGNED-PAYLOAD",
        ]
    )
    scope = query["X-Goog-Credential"].partition("/")[2]
    digest = hashlib.sha256(request.encode()).hexdigest()
    signed = "\n".join(["GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, digest])
    key.public_key().verify(
        bytes.fromhex(query["X-Goog-Signature"]), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
    )


def test_credentials_without_a_key_sign_nothing(store: ObjectStore) -> None:
    with pytest.raises(
        OutputStoreError,
        match=r"cannot presign gs://\S+/r1\.json: only a service account key .*gcp_service_account_json",
    ):
        store.presign("r1.json", expires_in=timedelta(minutes=5))


def test_many_threads_keep_their_connections(store: ObjectStore, caplog: pytest.LogCaptureFixture) -> None:
    threads = 32
    barrier = Barrier(threads)

    def save(number: int) -> None:
        for _ in range(3):
            barrier.wait(timeout=20)
            store.put(f"r{number}.json", b"{}", content_type="application/json")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(save, range(threads)))
    assert "pool is full" not in caplog.text
