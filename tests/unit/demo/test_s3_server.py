import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo import s3_server
from truss_async.demo.s3_server import S3Server
from truss_async.errors import HarnessError


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with S3Server() as running:
        running.create_bucket("pages")
        yield running


def processes_naming(text: str) -> list[str]:
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listing.splitlines() if "weed mini" in line and text in line]


def test_the_first_write_after_start_succeeds_without_a_retry(server: S3Server) -> None:
    client = server.client(attempts=1)
    client.put_object(Bucket="pages", Key="one", Body=b"1")
    assert client.get_object(Bucket="pages", Key="one")["Body"].read() == b"1"


def test_creating_a_bucket_twice_keeps_it(server: S3Server) -> None:
    server.client().put_object(Bucket="pages", Key="kept", Body=b"1")
    server.create_bucket("pages")
    assert server.client().head_object(Bucket="pages", Key="kept")["ContentLength"] == 1


def test_environment_leads_a_plain_client_to_this_server(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    buckets = boto3.session.Session().client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["pages"]


def test_another_key_is_refused(server: S3Server) -> None:
    session = boto3.session.Session(
        aws_access_key_id=server.access_key, aws_secret_access_key="wrong", region_name="us-east-1"
    )
    client = session.client(
        "s3", endpoint_url=server.endpoint_url, config=Config(retries={"total_max_attempts": 1})
    )
    with pytest.raises(ClientError) as refused:
        client.list_buckets()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403


def test_a_given_data_folder_outlives_the_server(tmp_path: Path) -> None:
    with S3Server(tmp_path / "data") as first:
        first.create_bucket("kept")
        first.client().put_object(Bucket="kept", Key="object", Body=b"still here")
    with S3Server(tmp_path / "data") as second:
        body = second.client().get_object(Bucket="kept", Key="object")["Body"].read()
    assert body == b"still here"


def test_a_port_taken_meanwhile_is_exchanged_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = s3_server._free_ports
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        choices = [{**choose(), "s3": taken.getsockname()[1]}]
        monkeypatch.setattr(s3_server, "_free_ports", lambda: choices.pop() if choices else choose())
        with S3Server() as server:
            assert server.client().list_buckets()["Buckets"] == []
    assert choices == []


def test_stop_leaves_no_process_and_no_file_and_may_be_repeated() -> None:
    server = S3Server()
    server.start()
    scratch = [Path(path) for path in server._scratch]
    assert processes_naming(str(scratch[0]))
    server.stop()
    server.stop()
    assert not processes_naming(str(scratch[0]))
    assert [path for path in scratch if path.exists()] == []


def test_a_server_that_is_not_running_has_no_endpoint() -> None:
    with pytest.raises(HarnessError, match="start it first"):
        _ = S3Server().endpoint_url


def test_a_start_past_its_deadline_is_one_line_with_the_servers_last_words() -> None:
    server = S3Server(start_seconds=0)
    with pytest.raises(HarnessError, match=r"did not answer within 0 s .*last words: ") as error:
        server.start()
    assert "\n" not in str(error.value)
    assert server._scratch == []


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=f"{tmp_path}/file/data: Not a directory"):
        S3Server(tmp_path / "file" / "data").start()


def test_the_server_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from truss_async.demo.s3_server import S3Server\n"
        "server = S3Server(Path(sys.argv[1])); server.start(); print('up', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        assert processes_naming(str(tmp_path))
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(300):
        if not processes_naming(str(tmp_path)):
            return
        SYSTEM_CLOCK.block(0.05)
    pytest.fail("the S3 server outlived its parent by 15 s")
