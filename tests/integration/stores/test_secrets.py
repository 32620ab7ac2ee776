"""Credentials are never in a log, an error or an object, whatever happens."""

from __future__ import annotations

import json
import logging
import traceback
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from truss_async.errors import OutputStoreError
from truss_async.stores import StoreCredentials, object_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from truss_async.stores import ObjectStore

ACCESS_TOKEN = "an-access-token"
SECRETS = (
    "aws_secret_access_key",
    "aws_session_token",
    "azure_storage_connection_string",
    "gcp_service_account_json",
)


def every_outcome(store: ObjectStore) -> Iterator[BaseException]:
    """Every operation, with the errors that come of it."""
    operations = (
        lambda: store.put("r1.json", b"{}", content_type="application/json", metadata={"request-id": "r1"}),
        lambda: store.put("r1.bin", bytes(1000), content_type="image/png", only_if_absent=True),
        lambda: store.put("r1.bin", b"", content_type="image/png", only_if_absent=True),
        lambda: store.open("r1.json").read(),
        lambda: store.open("absent.json"),
        lambda: store.head("r1.json"),
        lambda: [*store.list()],
        lambda: store.delete("r1.bin"),
    )
    for operation in operations:
        try:
            operation()
        except OutputStoreError as error:
            yield error


def secrets_of(credentials: StoreCredentials) -> set[str]:
    """Every text that nobody else may see: the secrets, and the parts of those that are more than one."""
    given = {name: value for name in SECRETS if (value := getattr(credentials, name))}
    found = {ACCESS_TOKEN, *given.values()}
    if text := given.get("azure_storage_connection_string"):
        found.add(text.partition("AccountKey=")[2].partition(";")[0])
    if text := given.get("gcp_service_account_json"):
        found.add(json.loads(text)["private_key"].splitlines()[1])
    return found


class TokenEndpoint(BaseHTTPRequestHandler):
    """Gives whoever asks the same access token."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        answer = json.dumps(
            {"access_token": ACCESS_TOKEN, "expires_in": 3600, "token_type": "Bearer"}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def token_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenEndpoint) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever, 0.01)
        try:
            yield f"http://127.0.0.1:{server.server_port}/token"
        finally:
            server.shutdown()


@pytest.fixture
def service_account(token_url: str) -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = {
        "type": "service_account",
        "project_id": "p",
        "client_email": "me@p.iam.gserviceaccount.com",
        "token_uri": token_url,
        "private_key": pem.decode(),
    }
    return json.dumps(account)


@pytest.fixture(
    params=["s3", "s3 with a token", "s3 with a wrong key", "gcs", "azure", "azure with a wrong key"]
)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, StoreCredentials]:
    """A URL, and credentials that are accepted there, or are not."""
    unique = uuid.uuid4().hex
    kind = request.param.partition(" ")[0]
    if kind == "gcs":
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", request.getfixturevalue("gcs_server"))
        account = request.getfixturevalue("service_account")
        return f"gs://outputs/{unique}", StoreCredentials(gcp_service_account_json=account)
    if kind == "azure":
        credentials = request.getfixturevalue("azure_credentials")
        if "wrong" in request.param:
            text = credentials.azure_storage_connection_string.replace("AccountKey=", "AccountKey=aHVu")
            credentials = StoreCredentials(azure_storage_connection_string=text)
        return f"azure://outputs/{unique}", credentials
    credentials = request.getfixturevalue("s3_credentials")
    if "token" in request.param:
        credentials = replace(credentials, aws_session_token=f"token-{unique}")
    if "wrong" in request.param:
        credentials = replace(credentials, aws_secret_access_key=f"secret-{unique}")
    return f"s3://outputs/{unique}", credentials


def test_no_credential_is_in_a_log_an_error_or_an_object(
    place: tuple[str, StoreCredentials], caplog: pytest.LogCaptureFixture
) -> None:
    url, credentials = place
    secrets = secrets_of(credentials)
    assert secrets
    with caplog.at_level(logging.DEBUG):
        store = object_store(url, credentials=credentials)
        errors = [*every_outcome(store)]
        said = ["".join(traceback.format_exception(error)) for error in errors]
        with suppress(OutputStoreError):
            said.append(store.presign("r1.json", expires_in=timedelta(minutes=1)).partition("?")[0])
    said += [caplog.text, repr(credentials), repr(store)]
    with suppress(OutputStoreError):
        with store.open("r1.json") as file:
            said.append(file.read().decode())
        said.append(repr(store.head("r1.json")))
    assert caplog.text
    leaks = [
        line[:200] for text in said for line in text.splitlines() if any(each in line for each in secrets)
    ]
    assert leaks[:5] == []
