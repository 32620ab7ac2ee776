"""Real S3 and GCS clients, and real servers, with a gate in between."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from google.api_core.exceptions import Forbidden
from google.cloud import storage

from tests.integration.stores.conftest import gcs_server, s3_server
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.harness.faults import Faults, StoreGates

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

    from truss_async.demo.s3_server import S3Server

__all__ = ["gcs_server", "s3_server"]

T = TypeVar("T")
BIG = 20_000_000


class Gates:
    """The gates of a harness on an event loop of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, is_on: bool = True) -> None:
        self._loop = loop
        self.reports: list[str] = []
        self.faults = Faults(clock=SYSTEM_CLOCK, report=self.reports.append)
        self.gates = self.run(self._made(is_on))

    async def _made(self, is_on: bool) -> StoreGates:
        return StoreGates(self.faults, is_on=is_on, has_processes=True, report=self.reports.append)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def via_gates(self, **environment: str) -> dict[str, str]:
        return self.run(self.gates.via_gates(environment, "d1"))

    @contextmanager
    def shut(self, request_id: str, kind: FaultKind) -> Iterator[None]:
        async def enter() -> Any:
            shut = self.gates.shut(request_id, kind)
            shut.__enter__()
            return shut

        async def leave(shut: Any) -> None:
            shut.__exit__(None, None, None)

        shut = self.run(enter())
        try:
            yield
        finally:
            self.run(leave(shut))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    running.call_soon_threadsafe(running.stop)
    thread.join(30)
    running.close()


@pytest.fixture
def gates(loop: asyncio.AbstractEventLoop) -> Iterator[Gates]:
    gates = Gates(loop)
    yield gates
    gates.run(gates.gates.close())
    gates.run(gates.gates.close())


@pytest.fixture
def s3(gates: Gates, s3_server: S3Server) -> Any:
    """A client of the S3 server, through the gate."""
    gated = gates.via_gates(AWS_ENDPOINT_URL=s3_server.endpoint_url)["AWS_ENDPOINT_URL"]
    assert gated != s3_server.endpoint_url
    return boto3.client(
        "s3",
        endpoint_url=gated,
        region_name="us-east-1",
        aws_access_key_id=s3_server.access_key,
        aws_secret_access_key=s3_server.secret_key,
        config=Config(retries={"total_max_attempts": 1}),
    )


def test_what_is_not_struck_passes_with_its_signature(s3: Any, s3_server: S3Server) -> None:
    for size in (0, 10, BIG):
        s3.put_object(Bucket="outputs", Key=f"{size}.bin", Body=b"x" * size)
        assert s3.get_object(Bucket="outputs", Key=f"{size}.bin")["Body"].read() == b"x" * size
    assert s3_server.client().head_object(Bucket="outputs", Key=f"{BIG}.bin")["ContentLength"] == BIG


def test_a_forbidden_store_answers_as_s3_does(gates: Gates, s3: Any) -> None:
    with gates.shut("r1", FaultKind.STORE_FORBIDDEN):
        for body in (b"1", b"x" * BIG):
            with pytest.raises(ClientError, match=r"AccessDenied\) when calling the PutObject"):
                s3.put_object(Bucket="outputs", Key="out/r1.json", Body=body)
        with pytest.raises(ClientError, match="403"):
            s3.head_object(Bucket="outputs", Key="out/r1.json")
        s3.put_object(Bucket="outputs", Key="out/r2.json", Body=b"r1")
    s3.put_object(Bucket="outputs", Key="out/r1.json", Body=b"1")


def test_an_unreachable_store_breaks_the_connection(gates: Gates, s3: Any) -> None:
    s3.put_object(Bucket="outputs", Key="out/warm.json", Body=b"1")  # the connection is open already
    with gates.shut("r3", FaultKind.STORE_UNREACHABLE):
        with pytest.raises(ConnectionClosedError):
            s3.put_object(Bucket="outputs", Key="out/r3/page.png", Body=b"1")
        s3.put_object(Bucket="outputs", Key="out/r2.json", Body=b"1")
    s3.put_object(Bucket="outputs", Key="out/r3/page.png", Body=b"1")


def test_objects_of_gcs_are_struck_by_the_name_in_the_body(
    gates: Gates, gcs_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gated = gates.via_gates(STORAGE_EMULATOR_HOST=gcs_server)["STORAGE_EMULATOR_HOST"]
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gated)
    bucket = storage.Client(project="p").bucket("outputs")
    with gates.shut("r1", FaultKind.STORE_FORBIDDEN):
        with pytest.raises(Forbidden, match="store_forbidden"):
            bucket.blob("out/r1.json").upload_from_string(b"1")
        bucket.blob("out/r2.json").upload_from_string(b"2")
    bucket.blob("out/r1.json").upload_from_string(b"1")
    assert bucket.blob("out/r1.json").download_as_bytes() == b"1"


def connect(url: str) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=30)


def talk(url: str, sent: bytes) -> bytes:
    """What comes back on a connection of one's own, until it is closed."""
    with connect(url) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_chunked_body_ends_where_it_ends(gates: Gates, s3_server: S3Server) -> None:
    head = b"PUT /outputs/%b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"3;ext=1\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
    url = gates.via_gates(AWS_ENDPOINT_URL=s3_server.endpoint_url)["AWS_ENDPOINT_URL"]
    with gates.shut("r1", FaultKind.STORE_FORBIDDEN), connect(url) as connection:
        answers = []
        for name in (b"free", b"r1"):
            connection.sendall(head % name + body)
            answers.append(b"")
            while not answers[-1].endswith(b"</Error>"):
                answers[-1] += connection.recv(65536)
    assert [answer.startswith(b"HTTP/1.1 403") for answer in answers] == [True, True]
    assert [b"store_forbidden" in answer for answer in answers] == [
        False,
        True,
    ]  # the first lacks a signature


@pytest.mark.parametrize(
    "sent",
    [b"", b"nonsense", b"\0" * 300_000, b"PUT / HTTP/1.1\r\ncontent-length: 10\r\n\r\n12", b"POST /\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
)  # fmt: skip
def test_what_is_no_request_breaks_nothing_but_its_connection(
    gates: Gates, s3_server: S3Server, sent: bytes
) -> None:
    url = gates.via_gates(AWS_ENDPOINT_URL=s3_server.endpoint_url)["AWS_ENDPOINT_URL"]
    with suppress(OSError):
        talk(url, sent)
    assert b"HTTP/1.1" in talk(url, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")


def test_an_endpoint_that_is_down_is_reported_once(gates: Gates) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    gated = gates.via_gates(AWS_ENDPOINT_URL_S3=url)["AWS_ENDPOINT_URL_S3"]
    for _ in range(2):
        with suppress(OSError):
            assert talk(gated, b"") == b""
    (line,) = gates.reports
    assert line.startswith(f"the store at {url} (AWS_ENDPOINT_URL_S3) cannot be reached: ")


def test_one_endpoint_has_one_gate_and_nothing_else_is_touched(gates: Gates) -> None:
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9/base", "HOME": "/", "STORAGE_EMULATOR_HOST": ""}
    gated = gates.via_gates(**environment)
    assert gated == gates.via_gates(**environment)
    assert gated["AWS_ENDPOINT_URL"].endswith("/base")
    assert {**gated, "AWS_ENDPOINT_URL": ""} == {**environment, "AWS_ENDPOINT_URL": ""}


@pytest.mark.parametrize("url", ["", "https://s3.example.com", "http://", "http://x:99999", "localhost:9000"])
def test_a_store_that_no_gate_can_stand_before_cannot_be_struck(gates: Gates, url: str) -> None:
    gates.faults.add(FaultRule(kind=FaultKind.STORE_FORBIDDEN))
    assert gates.via_gates(AWS_ENDPOINT_URL=url) == {"AWS_ENDPOINT_URL": url}
    assert gates.via_gates(AWS_ENDPOINT_URL=url) == {"AWS_ENDPOINT_URL": url}
    (line,) = gates.reports
    assert line.startswith(
        "store faults cannot be injected into d1: the replicas' environment names no endpoint"
    )
    assert "an http:// URL in AWS_ENDPOINT_URL, " in (gates.gates.obstacle() or "")


def test_a_proxy_is_kept_out_of_the_way(gates: Gates) -> None:
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1"}
    far = {**proxy, "AWS_ENDPOINT_URL": "http://minio.example.com:9000"}
    assert gates.via_gates(**far) == far
    near = {**proxy, "AWS_ENDPOINT_URL": "http://localhost:9000", "NO_PROXY": "localhost"}
    assert gates.via_gates(**near)["NO_PROXY"] == "localhost,127.0.0.1"


def test_switched_off_no_endpoint_is_changed(loop: asyncio.AbstractEventLoop, s3_server: S3Server) -> None:
    gates = Gates(loop, is_on=False)
    environment = {"AWS_ENDPOINT_URL": s3_server.endpoint_url}
    assert gates.via_gates(**environment) == environment
    assert "--no-store-gate" in (gates.gates.obstacle() or "")
