"""A store on a URL that smart_open alone knows, against a real FTP server."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from socket import create_connection, create_server
from typing import TYPE_CHECKING

import pytest

from tests.outputs import put_result
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult
from truss_async.errors import OutputStoreError, UnsafeObjectKeyError
from truss_async.stores import OutputStore, object_store
from truss_async.stores.probe import check_writable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outputs").mkdir()
    return tmp_path


@pytest.fixture
def ftp_place(folder: Path) -> Iterator[str]:
    """Host and port of an FTP server that serves the folder to ``me``, whose password is ``hunter2``."""
    with create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "pyftpdlib", "-i", "127.0.0.1", "-p", str(port), "-w",
               "-d", str(folder), "-u", "me", "-P", "hunter2"]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = SYSTEM_CLOCK.now() + timedelta(seconds=20)
        while not _answers(port):
            assert process.poll() is None, "the FTP server ended"
            assert SYSTEM_CLOCK.now() < deadline, "the FTP server does not answer"
            SYSTEM_CLOCK.block(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    try:
        create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_result_comes_back_and_no_password_is_shown(ftp_place: str, folder: Path) -> None:
    outputs = OutputStore.from_url(f"ftp://me:hunter2@{ftp_place}/outputs")
    moment = datetime(2026, 1, 1, tzinfo=timezone.utc)
    result = AsyncPredictResult(request_id="r1", time=moment, data={"text": "größer"})
    assert put_result(outputs, result) == f"ftp://{ftp_place}/outputs/r1.json"
    assert outputs.get("r1") == result
    put_result(outputs, result, compression="gzip")
    assert outputs.get("r1") == result
    put_result(outputs, result)
    assert (folder / "outputs" / "r1.json").read_bytes() == result.model_dump_json().encode()


def test_compressed_bytes_are_not_compressed_again(ftp_place: str, folder: Path) -> None:
    store = object_store(f"ftp://me:hunter2@{ftp_place}/outputs")
    store.put("r1.json.gz", b"as it is", content_type="application/gzip")
    assert (folder / "outputs" / "r1.json.gz").read_bytes() == b"as it is"
    with store.open("r1.json.gz") as file:
        assert file.read() == b"as it is"


def test_failure_is_ours_and_shows_no_password(ftp_place: str) -> None:
    for url in (f"ftp://me:hunter2@{ftp_place}/absent", f"ftp://hunter2:hunter2@{ftp_place}/outputs"):
        with pytest.raises(OutputStoreError, match="cannot write ftp://127") as failed:
            object_store(url).put("r1.json", b"{}", content_type="application/json")
        assert "hunter2" not in str(failed.value)
    with pytest.raises(OutputStoreError, match="cannot read ftp://127"):
        object_store(f"ftp://me:hunter2@{ftp_place}/outputs").open("r1.json")


def test_what_the_protocol_cannot_do_is_said(ftp_place: str) -> None:
    store = object_store(f"ftp://me:hunter2@{ftp_place}/outputs")
    for operation in (lambda: store.head("r1.json"), store.list, lambda: store.delete("r1.json")):
        with pytest.raises(OutputStoreError, match=r"cannot \w+ ftp://.*only supports writing and reading"):
            operation()
    with pytest.raises(
        OutputStoreError, match=r"cannot presign ftp://127.*only stores on s3://, gs://, azure://"
    ):
        store.presign("r1.json", expires_in=timedelta(minutes=1))
    check_writable(store)


def test_key_that_could_leave_the_store_is_refused(ftp_place: str, folder: Path) -> None:
    store = object_store(f"ftp://me:hunter2@{ftp_place}/outputs")
    with pytest.raises(UnsafeObjectKeyError):
        store.put("../r1.json", b"{}", content_type="application/json")
    assert not (folder / "r1.json").exists()
