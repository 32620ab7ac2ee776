from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from truss_async.errors import OutputStoreError, SettingsError
from truss_async.stores import NO_CREDENTIALS, StoreCredentials, object_store
from truss_async.stores.clients import ClientCache
from truss_async.stores.gcs_store import GCS_CLIENTS
from truss_async.stores.s3_store import S3_CLIENTS

SOMEBODY = StoreCredentials(aws_access_key_id="AKIA", aws_secret_access_key="hunter2")


def test_threads_that_ask_at_once_get_one_client() -> None:
    threads = 8
    barrier = Barrier(threads)
    made: list[object] = []

    def make(_: StoreCredentials) -> object:
        made.append(object())
        return made[-1]

    cache = ClientCache(make, environment=())

    def ask(_: int) -> object:
        barrier.wait(timeout=10)
        return cache.get(NO_CREDENTIALS)

    with ThreadPoolExecutor(threads) as pool:
        clients = set(pool.map(ask, range(threads)))
    assert clients == set(made)
    assert len(made) == 1


def test_other_credentials_get_another_client() -> None:
    assert S3_CLIENTS.get(SOMEBODY) is S3_CLIENTS.get(SOMEBODY)
    assert S3_CLIENTS.get(SOMEBODY) is not S3_CLIENTS.get(NO_CREDENTIALS)


def test_changed_environment_gets_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    before = S3_CLIENTS.get(SOMEBODY)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert S3_CLIENTS.get(SOMEBODY).meta.endpoint_url == "http://127.0.0.1:1"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert S3_CLIENTS.get(SOMEBODY) is before


def test_client_that_cannot_be_made_is_tried_again() -> None:
    outcomes = iter([SettingsError("not yet"), None])

    def make(_: StoreCredentials) -> str:
        if outcome := next(outcomes):
            raise outcome
        return "client"

    cache = ClientCache(make, environment=())
    with pytest.raises(SettingsError):
        cache.get(NO_CREDENTIALS)
    assert cache.get(NO_CREDENTIALS) == "client"


def test_wrong_s3_endpoint_is_a_settings_error() -> None:
    with pytest.raises(SettingsError, match="S3 client cannot be set up"):
        object_store("s3://bucket/x", credentials=StoreCredentials(aws_endpoint_url="not a url"))


def test_gcs_without_any_credentials_says_where_to_put_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STORAGE_EMULATOR_HOST", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CLOUDSDK_CONFIG", "/nonexistent")
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    with pytest.raises(OutputStoreError, match=r"no Google credentials.*gcp_service_account_json"):
        object_store("gs://bucket/x")


@pytest.mark.parametrize(
    "text",
    ["hunter2", "[]", "{}", '{"client_email": "a@b", "token_uri": "http://x", "private_key": "hunter2"}'],
)
def test_broken_service_account_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(SettingsError, match="gcp_service_account_json") as refused:
        GCS_CLIENTS.get(StoreCredentials(gcp_service_account_json=text))
    assert "hunter2" not in str(refused.value)
    assert refused.value.__suppress_context__
