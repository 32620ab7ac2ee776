from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from truss_async.errors import InvalidResultError
from truss_async.stores import compression
from truss_async.stores.compression import Compression, compressed, compression_for, decompressed
from truss_async.stores.result_objects import parse_output
from truss_async.stores.transfers import MEBIBYTE

BODY = b'{"text": "gr\xc3\xb6\xc3\x9fer"}' * 100
KINDS: list[Compression] = [*get_args(Compression)]


@pytest.mark.parametrize("kind", KINDS)
def test_body_comes_back_and_is_compressed_alike_each_time(kind: Compression) -> None:
    body = compressed(BODY, kind)
    assert decompressed(body) == BODY
    assert compressed(BODY, kind) == body
    assert (len(body) < 200) == (kind != "none")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("cut", [5, 20, -1])
def test_body_that_is_cut_off_is_a_value_error(kind: Compression, cut: int) -> None:
    with pytest.raises(ValueError, match="not a complete "):
        decompressed(compressed(BODY, kind)[:cut])


def test_missing_library_fails_the_load_with_its_install_line() -> None:
    program = """
import sys
sys.modules["backports"] = sys.modules["compression"] = None
from truss_async.errors import MissingExtraError
from truss_async.model.settings import OutputSettings
OutputSettings(url="memory://x", compression="gzip")
try:
    OutputSettings(url="memory://x", compression="zstd")
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "compression with zstd needs backports.zstd: pip install 'truss-async[zstd]'\n"


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_no_more_is_unpacked_than_the_bound(kind: Compression) -> None:
    body = bytes(3 * MEBIBYTE)
    assert decompressed(compressed(body, kind), limit=len(body)) == body
    for packed in (compressed(body, kind), compressed(body[:MEBIBYTE], kind) * 3):
        with pytest.raises(InvalidResultError, match="more than 2 MiB"):
            decompressed(packed, limit=2 * MEBIBYTE)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_small_object_that_unpacks_to_gigabytes_is_refused_by_name(kind: Compression) -> None:
    piece = compressed(bytes(64 * MEBIBYTE), kind)
    bomb = piece * 40
    with pytest.raises(
        InvalidResultError, match=r"s3://b/r1\.json cannot be read: it unpacks to more than 256 MiB"
    ):
        parse_output(bomb, url="s3://b/r1.json")


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_several_members_are_one_body(kind: Compression) -> None:
    assert decompressed(compressed(BODY, kind) * 2) == BODY * 2


def test_what_would_not_be_unpacked_again_is_not_compressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "LARGEST_UNPACKED_BYTES", 10)
    assert compression_for(bytes(10), "gzip") == "gzip"
    assert compression_for(bytes(11), "gzip") == "none"
