"""A rotated file of credentials is read again; what stays wrong is told, and costs little."""

from __future__ import annotations

import io
import threading
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from truss_async.clock import ManualClock
from truss_async.errors import SettingsError, StoreCredentialsError
from truss_async.stores import object_store
from truss_async.stores.memory_store import MemoryStore
from truss_async.stores.renewal import RENEWAL_PAUSE_SECONDS, RenewingStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from truss_async.stores import ObjectStore
    from truss_async.stores.protocol import Body, ObjectInfo

JSON = "application/json"


class Cloud:
    """Opens stores that work as long as the key they were opened with is the one that counts."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.key = self.file = "old"
        self.opened = self.forgotten = 0
        self.clock = ManualClock()

    def rotate(self) -> None:
        self.key = self.file = "new"

    def open(self) -> SignedIn:
        self.opened += 1
        if not self.file:
            raise SettingsError("the file is empty")
        return SignedIn(self, self.file)

    def store(self) -> RenewingStore:
        return RenewingStore(self.open, clock=self.clock)


class SignedIn(MemoryStore):
    def __init__(self, cloud: Cloud, key: str) -> None:
        super().__init__(cloud.name)
        self._cloud = cloud
        self._key = key

    def forget_client(self) -> None:
        self._cloud.forgotten += 1

    def _check(self) -> None:
        if self._key != self._cloud.key:
            raise StoreCredentialsError(f"the key {self._key} has expired")

    def put(self, key: str, body: Body, **described: object) -> None:
        if not isinstance(body, bytes) and hasattr(body, "read"):
            body = body.read()
        self._check()
        super().put(key, body, **described)  # type: ignore[arg-type]

    def open(self, key: str) -> io.BytesIO:
        self._check()
        return super().open(key)  # type: ignore[return-value]

    def head(self, key: str) -> ObjectInfo:
        self._check()
        return super().head(key)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        self._check()
        yield from super().list(prefix)

    def delete(self, key: str) -> None:
        self._check()
        super().delete(key)


OPERATIONS: dict[str, Callable[[ObjectStore], object]] = {
    "put": lambda store: store.put("b", b"2", content_type=JSON),
    "open": lambda store: store.open("a").read(),
    "head": lambda store: store.head("a"),
    "list": lambda store: [*store.list()],
    "delete": lambda store: store.delete("a"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation_after_a_rotation_uses_the_new_key(operation: str) -> None:
    cloud = Cloud()
    store = cloud.store()
    store.put("a", b"1", content_type=JSON)
    cloud.rotate()
    OPERATIONS[operation](store)
    assert (cloud.opened, cloud.forgotten) == (2, 1)


def test_file_is_sent_again_from_where_it_stood() -> None:
    cloud = Cloud()
    store = cloud.store()
    cloud.rotate()
    body = io.BytesIO(b"head:body")
    body.seek(5)
    store.put("a", body, content_type=JSON)
    assert store.open("a").read() == b"body"


def test_stream_that_cannot_be_sent_again_fails_and_the_next_call_renews() -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    cloud = Cloud()
    store = cloud.store()
    cloud.rotate()
    with pytest.raises(StoreCredentialsError):
        store.put("a", Stream(b"1"), content_type=JSON)
    store.put("a", b"1", content_type=JSON)
    assert store.open("a").read() == b"1"


def test_key_that_stays_wrong_is_told_and_makes_few_clients() -> None:
    cloud = Cloud()
    store = cloud.store()
    cloud.key = "another"
    for _ in range(5):
        with pytest.raises(StoreCredentialsError, match="the key old has expired"):
            store.head("a")
    assert cloud.opened == 2
    cloud.clock.advance(RENEWAL_PAUSE_SECONDS)
    cloud.rotate()
    store.put("a", b"1", content_type=JSON)
    assert cloud.opened == 3


def test_file_that_is_just_being_written_leaves_the_first_error() -> None:
    cloud = Cloud()
    store = cloud.store()
    cloud.key, cloud.file = "new", ""
    with pytest.raises(StoreCredentialsError, match="the key old has expired"):
        store.head("a")


def test_threads_that_fail_at_once_get_one_new_client() -> None:
    cloud = Cloud()
    store = cloud.store()
    cloud.rotate()
    threads = [threading.Thread(target=lambda: [*store.list()]) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert cloud.opened == 2


@contextmanager
def s3_that_knows_one_key(key: list[str]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            is_known = f"Credential={key[0]}/" in self.headers["authorization"]
            body = b"" if is_known else b"<Error><Code>InvalidAccessKeyId</Code></Error>"
            self.send_response(200 if is_known else 403)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(10)


def test_rotated_shared_credentials_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"
    profile = "[default]\naws_access_key_id = {}\naws_secret_access_key = s\naws_session_token = t\n"
    file.write_text(profile.format("AKIAOLD"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    key = ["AKIAOLD"]
    with s3_that_knows_one_key(key) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        store = object_store("s3://outputs")
        store.put("a.json", b"1", content_type=JSON)
        key[0] = "AKIANEW"
        file.write_text(profile.format("AKIANEW"))
        store.put("a.json", b"1", content_type=JSON)
        object_store("s3://outputs").put("a.json", b"1", content_type=JSON)
