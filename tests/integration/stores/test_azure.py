"""What is particular to Azure Blob Storage, against Azurite."""

from __future__ import annotations

import base64
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import pytest
from azure.storage.blob import (
    AccountSasPermissions,
    BlobClient,
    BlobServiceClient,
    ResourceTypes,
    generate_account_sas,
)

from tests.outputs import saver_of
from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import OutputStoreError, SettingsError
from truss_async.stores import NO_CREDENTIALS, StoreCredentials, StoreOptions, object_store
from truss_async.stores.probe import check_writable

if TYPE_CHECKING:
    from truss_async.stores import ObjectStore

BIG = 17_000_000
VARIABLES = ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT")


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(azure_credentials: StoreCredentials) -> ObjectStore:
    return object_store(f"azure://outputs/{uuid.uuid4().hex}", credentials=azure_credentials)


@pytest.fixture
def connection_string(azure_credentials: StoreCredentials) -> str:
    return azure_credentials.azure_storage_connection_string or ""


def blob_of(store: ObjectStore, key: str, connection_string: str) -> BlobClient:
    service = BlobServiceClient.from_connection_string(connection_string)
    return service.get_blob_client("outputs", f"{store.url.removeprefix('azure://outputs/')}/{key}")


def put(store: ObjectStore, key: str = "r1.bin", size: int = 1000) -> None:
    store.put(key, bytes(size), content_type="image/png")


@pytest.mark.parametrize("size", [1000, BIG], ids=["small", "in parts"])
def test_tags_and_tier_are_those_of_the_options(
    store: ObjectStore, azure_credentials: StoreCredentials, connection_string: str, size: int
) -> None:
    options = StoreOptions(storage_class="Cool", tags={"team": "R and D", "cost": "7"})
    put(object_store(store.url, credentials=azure_credentials, options=options), size=size)
    blob = blob_of(store, "r1.bin", connection_string)
    assert blob.get_blob_tags() == options.tags
    properties = blob.get_blob_properties()
    assert (properties.blob_tier, properties.size) == ("Cool", size)


def test_tier_that_azure_has_not_is_refused(azure_credentials: StoreCredentials) -> None:
    with pytest.raises(SettingsError, match=r"'NEARLINE' is not a tier of Azure; known are .*Cool"):
        object_store(
            "azure://outputs/x", credentials=azure_credentials, options=StoreOptions(storage_class="NEARLINE")
        )


def test_environment_alone_finds_the_account(
    store: ObjectStore, connection_string: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection_string)
    put(object_store(store.url.replace("azure://", "az://")))
    assert store.head("r1.bin").size_bytes == 1000


def test_absence_of_an_account_is_said_with_the_names_to_set() -> None:
    with pytest.raises(SettingsError, match="no Azure storage account") as refused:
        object_store("azure://outputs/x")
    for name in (*VARIABLES, *(name.lower() for name in VARIABLES)):
        assert name in str(refused.value)


def test_account_alone_signs_in_with_the_machines_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")  # and ask no one else
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "https://127.0.0.1:1")
    store = object_store("azure://outputs/x")
    with pytest.raises(
        OutputStoreError, match=r"cannot write azure://outputs/x/r1\.bin: .*azure_storage_account"
    ):
        put(store)
    with pytest.raises(OutputStoreError, match=r"cannot presign .*only an account key can sign"):
        store.presign("r1.bin", expires_in=timedelta(minutes=1))


@pytest.mark.parametrize("text", ["hunter2", "AccountName=a;AccountKey=hunter2", "AccountKey"])
def test_broken_connection_string_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises((SettingsError, OutputStoreError)) as refused:
        put(
            object_store(
                "azure://outputs/x", credentials=StoreCredentials(azure_storage_connection_string=text)
            )
        )
    assert "azure_storage_connection_string" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_missing_container_is_said_with_the_remedy(azure_credentials: StoreCredentials) -> None:
    store = object_store("azure://no-such-container/x", credentials=azure_credentials)
    for size in (1000, BIG):
        with pytest.raises(
            OutputStoreError, match=r"cannot write azure://\S+: ContainerNotFound; create the container"
        ):
            put(store, size=size)
    for action in (lambda: store.open("r1.bin"), lambda: [*store.list()], lambda: store.delete("r1.bin")):
        with pytest.raises(OutputStoreError, match="ContainerNotFound; create the container"):
            action()


def test_wrong_key_is_said_and_not_shown(store: ObjectStore, connection_string: str) -> None:
    key = base64.b64encode(b"hunter2").decode()
    name, _, rest = connection_string.partition("AccountKey=")
    wrong = f"{name}AccountKey={key};{rest.partition(';')[2]}"
    stranger = object_store(
        store.url, credentials=replace(NO_CREDENTIALS, azure_storage_connection_string=wrong)
    )
    with pytest.raises(OutputStoreError, match="or are not valid for the account") as failed:
        put(stranger)
    assert key not in str(failed.value)


def test_unreachable_server_is_said_within_seconds(connection_string: str) -> None:
    beginning, _, _ = connection_string.partition("BlobEndpoint=")
    nowhere = f"{beginning}BlobEndpoint=http://127.0.0.1:1/outputs;"
    store = object_store(
        "azure://outputs/x", credentials=StoreCredentials(azure_storage_connection_string=nowhere)
    )
    start = SYSTEM_CLOCK.now()
    with pytest.raises(OutputStoreError, match="cannot be reached or does not answer"):
        put(store)
    assert SYSTEM_CLOCK.now() - start < timedelta(seconds=30)


def test_large_blob_that_is_replaced_while_it_is_read_is_never_mixed(store: ObjectStore) -> None:
    store.put("r1.bin", b"a" * 3 * BIG, content_type="image/png")
    with store.open("r1.bin") as file:
        content = file.read(1_000_000)
        store.put("r1.bin", b"b" * 3 * BIG, content_type="image/png")
        with pytest.raises(
            OutputStoreError, match="the object was replaced or removed during the read; read it again"
        ):
            content += file.read()
    assert set(content) == set(b"a")


def test_large_blobs_written_at_once_are_never_mixed(store: ObjectStore) -> None:
    def write(letter: int) -> None:
        store.put("r1.bin", bytes([letter]) * BIG, content_type="image/png")

    with ThreadPoolExecutor(2) as pool:
        failures = [each.exception() for each in [pool.submit(write, letter) for letter in b"ab"]]
    with store.open("r1.bin") as file:
        content = file.read()
    assert (len(content), len(set(content))) == (BIG, 1)
    # Whoever commits first takes the other's parts away; that one is told, and may try again.
    assert all("try again" in str(each) for each in failures if each is not None)


def test_presigned_url_opens_one_blob_to_read_and_nothing_else(store: ObjectStore) -> None:
    put(store)
    put(store, "r2.bin")
    url = store.presign("r1.bin", expires_in=timedelta(minutes=5))
    assert httpx.get(url).content == bytes(1000)
    assert httpx.get(url.replace("/r1.bin?", "/r2.bin?")).status_code == 403
    assert httpx.get(url.partition("?")[0]).status_code >= 400
    assert httpx.delete(url).status_code == 403
    assert httpx.put(url, content=b"x", headers={"x-ms-blob-type": "BlockBlob"}).status_code == 403


def test_rights_to_create_and_no_more_are_enough_to_check_and_to_save(
    store: ObjectStore, connection_string: str
) -> None:
    service = BlobServiceClient.from_connection_string(connection_string)
    signature = generate_account_sas(
        str(service.account_name),
        account_key=service.credential.account_key,
        resource_types=ResourceTypes(object=True),
        permission=AccountSasPermissions(create=True),
        expiry=SYSTEM_CLOCK.now() + timedelta(minutes=5),
    )
    creator = StoreCredentials(
        azure_storage_connection_string=f"BlobEndpoint={service.url};SharedAccessSignature={signature}"
    )
    for number in range(2):
        objects = object_store(store.url, credentials=creator)
        check_writable(objects)
        saver_of(objects).save(f"r{number}", {"image": b"GIF89a"})
    kept = sorted(info.key for info in store.list() if not info.key.startswith("truss-async-probe"))
    assert kept == ["r0.json", "r0/image.gif", "r1.json", "r1/image.gif"]
