"""What is particular to S3, against a real server."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
import uuid
import zlib
from base64 import b64decode, b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Event
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session

from tests.outputs import put_artifact, put_result
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult
from truss_async.errors import ObjectExistsError, ObjectNotFoundError, OutputStoreError, SettingsError
from truss_async.stores import OutputStore, StoreCredentials, StoreOptions, object_store, s3_store
from truss_async.stores.probe import check_writable
from truss_async.stores.s3_store import S3_CLIENTS
from truss_async.stores.transfers import BYTES_AT_ONCE
from truss_async.stores.unfinished import abort_uploads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from truss_async.demo.s3_server import S3Server
    from truss_async.stores import ObjectStore

BIG = 17_000_000


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def every_operation(store: ObjectStore) -> dict[str, Callable[[], object]]:
    return {
        "write": lambda: store.put("r1.json", b"{}", content_type="application/json"),
        "write in parts": lambda: store.put("r1.bin", bytes(BIG), content_type="application/octet-stream"),
        "read": lambda: store.open("r1.json"),
        "describe": lambda: store.head("r1.json"),
        "list": lambda: list(store.list()),
        "delete": lambda: store.delete("r1.json"),
    }


def failures_of(store: ObjectStore) -> dict[str, str]:
    messages = {}
    for name, operation in every_operation(store).items():
        with pytest.raises(OutputStoreError) as failed:
            operation()
        messages[name] = str(failed.value)
        assert store.url in messages[name]
        assert "\n" not in messages[name]
    return messages


def test_large_object_went_in_parts_and_a_small_one_did_not(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str
) -> None:
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    for size in (1000, BIG):
        store.put(f"{size}.bin", bytes(size), content_type="image/png", metadata={"request-id": "r1"})
    client = s3_server.client()
    small, large = (client.head_object(Bucket="outputs", Key=f"{prefix}/{size}.bin") for size in (1000, BIG))
    assert "-" not in small["ETag"]
    assert large["ETag"].endswith('-3"')
    assert small["Metadata"] == large["Metadata"] == {"request-id": "r1"}


def test_upload_in_parts_that_fails_leaves_no_parts_behind(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str
) -> None:
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with pytest.raises(OutputStoreError, match="Input/output error"):
        store.put("r1.bin", FailingFile(bytes(3 * BIG)), content_type="image/png")
    left = s3_server.client().list_multipart_uploads(Bucket="outputs", Prefix=prefix)
    assert left.get("Uploads", []) == []


def test_upload_in_parts_that_the_end_of_the_process_cuts_off_leaves_no_parts_behind(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str
) -> None:
    reached, ended = Event(), Event()

    class SlowFile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 0:
                reached.set()
                assert ended.wait(20)
            return super().read(size)

    def left() -> list[Any]:
        found = s3_server.client().list_multipart_uploads(Bucket="outputs", Prefix=prefix)
        return [*found.get("Uploads", [])]

    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with ThreadPoolExecutor(1) as pool:
        saving = pool.submit(store.put, "r1.bin", SlowFile(bytes(BIG)), content_type="image/png")
        assert reached.wait(20)
        assert len(left()) == 1
        abort_uploads()
        assert left() == []
        ended.set()
        assert isinstance(saving.exception(20), OutputStoreError)
    assert left() == []


def test_listing_goes_on_after_the_first_thousand(s3_credentials: StoreCredentials, prefix: str) -> None:
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    keys = {f"{number}.json" for number in range(1001)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"{}", content_type="application/json"), keys))
    assert {info.key for info in store.list()} == keys


def test_put_asks_for_no_leave_before_it_sends(s3_credentials: StoreCredentials, prefix: str) -> None:
    sent: list[dict[str, Any]] = []

    def note(request: Any, **_: Any) -> None:
        sent.append(dict(request.headers))

    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    events = S3_CLIENTS.get(s3_credentials).meta.events
    events.register("before-send.s3.*", note)
    try:
        store.put("r1.json", b"{}", content_type="application/json")
    finally:
        events.unregister("before-send.s3.*", note)
    assert len(sent) == 1
    assert "expect" not in {name.lower() for name in sent[0]}


def test_environment_alone_finds_the_server(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    for name, value in s3_server.environment().items():
        # A host name, where an SDK might make the bucket a part of the host.
        monkeypatch.setenv(name, value.replace("127.0.0.1", "localhost"))
    store = object_store(f"s3://outputs/{prefix}")
    store.put("r1.json", b"{}", content_type="application/json")
    assert store.head("r1.json").size_bytes == 2


def test_missing_bucket_is_said_with_the_remedy(s3_credentials: StoreCredentials) -> None:
    store = object_store("s3://no-such-bucket/out", credentials=s3_credentials)
    with pytest.raises(
        OutputStoreError, match=r"cannot write s3://no-such-bucket/out/\S+: NoSuchBucket; create"
    ):
        check_writable(store)
    messages = failures_of(store)
    assert all(
        "NoSuchBucket" in messages[name] for name in ("write", "write in parts", "read", "list", "delete")
    )


def test_wrong_key_is_said_and_not_shown(s3_credentials: StoreCredentials) -> None:
    for wrong in (
        replace(s3_credentials, aws_access_key_id="AKIAWRONG"),
        replace(s3_credentials, aws_secret_access_key="hunter2"),
    ):
        messages = failures_of(object_store("s3://outputs/x", credentials=wrong))
        assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in messages["write"]
        assert "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in messages["write in parts"]
        shown = " ".join(messages.values())
        assert not any(
            secret in shown for secret in ("hunter2", "AKIAWRONG", s3_credentials.aws_access_key_id or "")
        )


def test_forbidden_operation_names_the_right_that_is_missing(
    s3_server: S3Server, s3_credentials: StoreCredentials
) -> None:
    s3_server.create_bucket("forbidden")
    resources = ["arn:aws:s3:::forbidden", "arn:aws:s3:::forbidden/*"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": resources}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3_server.client().put_bucket_policy(Bucket="forbidden", Policy=policy)

    messages = failures_of(object_store("s3://forbidden/out", credentials=s3_credentials))
    for name, right in {
        "write": "s3:PutObject",
        "write in parts": "s3:PutObject",
        "read": "s3:GetObject",
        "describe": "s3:GetObject",
        "list": "s3:ListBucket",
        "delete": "s3:DeleteObject",
    }.items():
        assert f"AccessDenied; the credentials need {right} on s3://forbidden/out/" in messages[name]


def test_right_to_write_alone_is_enough_for_the_check(
    s3_server: S3Server, s3_credentials: StoreCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    s3_server.create_bucket("write-only")
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:DeleteObject"],
        "Resource": "arn:aws:s3:::write-only/*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [deny]})
    s3_server.client().put_bucket_policy(Bucket="write-only", Policy=policy)
    store = object_store("s3://write-only/out", credentials=s3_credentials)
    for _ in range(2):
        check_writable(store)
    assert "the probe object was not deleted" in caplog.text
    assert len(s3_server.client().list_objects_v2(Bucket="write-only")["Contents"]) == 1


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "https://127.0.0.1:1"])
def test_unreachable_endpoint_is_said_within_seconds(s3_credentials: StoreCredentials, endpoint: str) -> None:
    store = object_store("s3://outputs/x", credentials=replace(s3_credentials, aws_endpoint_url=endpoint))
    for name, operation in every_operation(store).items():
        start = SYSTEM_CLOCK.now()
        with pytest.raises(OutputStoreError, match=rf"{endpoint} cannot be reached .*check AWS_ENDPOINT_URL"):
            operation()
        assert SYSTEM_CLOCK.now() - start < timedelta(seconds=15), name


def test_object_that_is_cut_off_on_its_way_is_never_taken_for_whole(
    s3_credentials: StoreCredentials,
) -> None:
    class CutOff(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"{" * 10)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), CutOff) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.handle_request)
        endpoint = f"http://127.0.0.1:{server.server_port}"
        store = object_store("s3://outputs/x", credentials=replace(s3_credentials, aws_endpoint_url=endpoint))
        with (
            pytest.raises(OutputStoreError, match=r"cannot read s3://outputs/x/r1.json"),
            store.open("r1.json") as file,
        ):
            file.read()


def test_absence_of_credentials_is_said_with_the_names_to_set(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server.endpoint_url)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    messages = failures_of(object_store("s3://outputs/x"))
    assert all(
        "no AWS credentials were found; declare the Truss secrets" in message for message in messages.values()
    )
    with pytest.raises(OutputStoreError, match=r"cannot presign .*no AWS credentials were found"):
        object_store("s3://outputs/x").presign("r1.json", expires_in=timedelta(hours=1))


def test_unusual_metadata_is_refused_as_our_error(s3_credentials: StoreCredentials, prefix: str) -> None:
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with pytest.raises(OutputStoreError, match="cannot write"):
        store.put("r1.json", b"{}", content_type="application/json", metadata={"note": "größer"})


def test_presigned_url_opens_one_object_for_a_while_and_nothing_else(
    s3_credentials: StoreCredentials, prefix: str
) -> None:
    outputs = OutputStore.from_url(f"s3://outputs/{prefix}", credentials=s3_credentials)
    moment = SYSTEM_CLOCK.now()
    for request_id in ("r1", "r2"):
        put_result(outputs, AsyncPredictResult(request_id=request_id, time=moment, data="größer"))
    page = put_artifact(outputs, "r1", "page.png", b"a page", content_type="image/png")

    url = outputs.presign("r1", expires_in=timedelta(minutes=5))
    query = httpx.URL(url).params
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "300")
    answer = httpx.get(url)
    assert AsyncPredictResult.model_validate_json(answer.content) == outputs.get("r1")
    assert answer.headers["content-type"] == "application/json"
    artifact = httpx.get(outputs.presign_artifact(page))
    assert (artifact.content, artifact.headers["content-type"]) == (b"a page", "image/png")

    signature = query["X-Amz-Signature"]
    forged = {
        "another object": url.replace("/r1.json?", "/r2.json?"),
        "a longer time": url.replace("Expires=300", "Expires=3000"),
        "another signature": url.replace(signature, signature[::-1]),
        "no signature": url.partition("?")[0],
    }
    for name, tampered in forged.items():
        assert tampered != url
        assert httpx.get(tampered).status_code == 403, name
    assert httpx.put(url, content=b"{}").status_code == 403
    assert httpx.delete(url).status_code == 403


def test_presigned_url_expires(s3_credentials: StoreCredentials, prefix: str) -> None:
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    store.put("r1.json", b"{}", content_type="application/json")
    url = store.presign("r1.json", expires_in=timedelta(seconds=1))
    deadline = SYSTEM_CLOCK.now() + timedelta(seconds=20)
    while httpx.get(url).status_code != 403:
        assert SYSTEM_CLOCK.now() < deadline
        SYSTEM_CLOCK.block(0.1)


def test_nothing_is_presigned_that_is_not_there(s3_credentials: StoreCredentials, prefix: str) -> None:
    outputs = OutputStore.from_url(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with pytest.raises(ObjectNotFoundError, match=r"there is no object s3://\S+/r1\.json"):
        outputs.presign("r1")


@pytest.mark.parametrize("expires_in", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_lifetime_that_no_store_grants_is_refused(
    s3_credentials: StoreCredentials, expires_in: timedelta
) -> None:
    store = object_store("s3://outputs/x", credentials=s3_credentials)
    with pytest.raises(SettingsError, match="1 second to 7 days"):
        store.presign("r1.json", expires_in=expires_in)


def test_session_token_and_region_are_part_of_a_presigned_url() -> None:
    credentials = StoreCredentials(
        aws_access_key_id="AKIA", aws_secret_access_key="s", aws_session_token="t", aws_region="eu-central-1"
    )
    url = object_store("s3://my-bucket/x", credentials=credentials).presign(
        "r1.json", expires_in=timedelta(hours=1)
    )
    assert httpx.URL(url).host.endswith(".eu-central-1.amazonaws.com")
    query = httpx.URL(url).params
    assert query["X-Amz-Security-Token"] == "t"
    assert "/eu-central-1/s3/aws4_request" in query["X-Amz-Credential"]


def test_browser_decompresses_what_a_presigned_url_gives(
    s3_credentials: StoreCredentials, prefix: str
) -> None:
    outputs = OutputStore.from_url(f"s3://outputs/{prefix}", credentials=s3_credentials)
    result = AsyncPredictResult(request_id="r1", time=SYSTEM_CLOCK.now(), data="größer")
    put_result(outputs, result, compression="gzip")
    answer = httpx.get(outputs.presign("r1"))
    assert answer.headers["content-encoding"] == "gzip"
    assert AsyncPredictResult.model_validate_json(answer.content) == result


@pytest.mark.parametrize("size", [1000, BIG], ids=["small", "in parts"])
def test_tags_and_storage_class_are_those_of_the_options(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str, size: int
) -> None:
    options = StoreOptions(storage_class="STANDARD_IA", tags={"team": "R and D", "cost": "7"})
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials, options=options)
    store.put("r1.bin", bytes(size), content_type="image/png", metadata={"request-id": "r1"})
    client = s3_server.client()
    found = client.get_object_tagging(Bucket="outputs", Key=f"{prefix}/r1.bin")["TagSet"]
    assert {tag["Key"]: tag["Value"] for tag in found} == options.tags
    head = client.head_object(Bucket="outputs", Key=f"{prefix}/r1.bin")
    assert (head["StorageClass"], head["Metadata"]) == ("STANDARD_IA", {"request-id": "r1"})


@pytest.mark.parametrize(("size", "first"), [(1000, "PutObject"), (BIG, "CreateMultipartUpload")])
def test_kms_key_is_asked_for_with_every_put(
    s3_credentials: StoreCredentials, prefix: str, size: int, first: str
) -> None:
    sent: list[dict[str, Any]] = []

    def note(request: Any, **_: Any) -> None:
        sent.append({name.lower(): value for name, value in request.headers.items()})

    options = StoreOptions(kms_key_id="arn:aws:kms:us-east-1:111122223333:key/1")
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials, options=options)
    events = S3_CLIENTS.get(s3_credentials).meta.events
    events.register(f"before-send.s3.{first}", note)
    try:
        # The server has no such key.
        with pytest.raises(OutputStoreError, match="cannot write"):
            store.put("r1.json", bytes(size), content_type="application/json")
    finally:
        events.unregister(f"before-send.s3.{first}", note)
    assert sent
    header = "x-amz-server-side-encryption"
    assert sent[0][header] == b"aws:kms"
    assert sent[0][f"{header}-aws-kms-key-id"] == b"arn:aws:kms:us-east-1:111122223333:key/1"


@contextmanager
def requests_of(credentials: StoreCredentials, event: str, handle: Callable[[Any], object]) -> Iterator[None]:
    """Every such request passes the handler on its way; what that returns, if anything, is the answer."""

    def pass_on(request: Any, **_: Any) -> object:
        return handle(request)

    events: Any = S3_CLIENTS.get(credentials).meta.events  # its types know no handler that answers
    events.register(event, pass_on)
    try:
        yield
    finally:
        events.unregister(event, pass_on)


@pytest.mark.parametrize(("size", "last"), [(1000, "PutObject"), (BIG, "CompleteMultipartUpload")])
def test_lost_answer_of_an_own_write_is_no_failure(
    s3_credentials: StoreCredentials, prefix: str, size: int, last: str
) -> None:
    answers_to_lose = iter([True])

    def lose_one(request: Any) -> object:
        answer = URLLib3Session().send(request)
        if next(answers_to_lose, False):
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with requests_of(s3_credentials, f"before-send.s3.{last}", lose_one):
        store.put("r1.bin", bytes(size), content_type="image/png", only_if_absent=True)
    assert store.head("r1.bin").size_bytes == size
    assert next(answers_to_lose, None) is None
    with pytest.raises(ObjectExistsError):
        store.put("r1.bin", bytes(size), content_type="image/png", only_if_absent=True)


@pytest.mark.parametrize("size", [1000, BIG], ids=["small", "in parts"])
def test_what_arrives_is_verified_by_the_server(
    s3_credentials: StoreCredentials, prefix: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    monkeypatch.setattr(s3_store, "_crc32", lambda _: b"wrong")
    with pytest.raises(
        OutputStoreError, match=r"cannot write s3://\S+/r1\.bin: \w+; the data was corrupted on the way"
    ):
        store.put("r1.bin", bytes(size), content_type="image/png")
    assert [*store.list()] == []


@pytest.mark.parametrize("size", [1000, BIG], ids=["small", "in parts"])
def test_one_checksum_of_the_whole_object_is_kept(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str, size: int
) -> None:
    content = os.urandom(size)
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    store.put("r1.bin", content, content_type="image/png")
    head = s3_server.client().head_object(Bucket="outputs", Key=f"{prefix}/r1.bin", ChecksumMode="ENABLED")
    assert b64decode(head["ChecksumCRC32"]) == zlib.crc32(content).to_bytes(4, "big")


def test_object_that_was_damaged_on_its_way_is_never_taken_for_whole(
    s3_credentials: StoreCredentials,
) -> None:
    class Damaged(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "4")
            self.send_header(
                "x-amz-checksum-crc32", b64encode(zlib.crc32(b"sent").to_bytes(4, "big")).decode()
            )
            self.end_headers()
            self.wfile.write(b"came")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Damaged) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.handle_request)
        endpoint = f"http://127.0.0.1:{server.server_port}"
        store = object_store("s3://outputs/x", credentials=replace(s3_credentials, aws_endpoint_url=endpoint))
        with (
            pytest.raises(OutputStoreError, match="does not match the object's checksum"),
            store.open("r1") as file,
        ):
            file.read()


def test_server_that_knows_no_checksums_is_spared_them(
    s3_credentials: StoreCredentials, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with requests_of(s3_credentials, "before-send.s3.*", lambda request: sent.extend(request.headers)):
        for size in (1000, BIG):
            store.put(f"{size}.bin", bytes(size), content_type="image/png")
    assert sent
    assert [name for name in sent if "checksum" in name.lower()] == []


def test_no_put_asks_for_an_access_list(s3_credentials: StoreCredentials, prefix: str) -> None:
    sent: list[str] = []
    store = object_store(f"s3://outputs/{prefix}", credentials=s3_credentials)
    with requests_of(s3_credentials, "before-send.s3.*", lambda request: sent.extend(request.headers)):
        for size in (1000, BIG):
            store.put(f"{size}.bin", bytes(size), content_type="image/png")
    # A bucket whose owner enforces ownership refuses them.
    assert [name for name in sent if "acl" in name.lower() or "grant" in name.lower()] == []


def test_large_artifact_takes_little_memory(
    s3_server: S3Server, s3_credentials: StoreCredentials, prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "artifact.bin").touch()
    os.truncate(tmp_path / "artifact.bin", 240_000_000)
    program = """
import resource, sys
from pathlib import Path
from truss_async.stores import object_store

def peak() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

store = object_store(sys.argv[1])
store.put("warm.bin", bytes(1000), content_type="image/png")
before = peak()
store.put("artifact.bin", Path(sys.argv[2]), content_type="image/png")
print(peak() - before)
"""
    command = [sys.executable, "-c", program, f"s3://outputs/{prefix}", str(tmp_path / "artifact.bin")]
    environment = {**os.environ, **s3_server.environment()}
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120, env=environment)
    assert int(done.stdout) < BYTES_AT_ONCE + 64_000_000
