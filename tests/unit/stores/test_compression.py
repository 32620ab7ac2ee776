from __future__ import annotations

import subprocess
import sys
from typing import get_args

import pytest

from truss_async.stores.compression import Compression, compressed, decompressed

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
    with pytest.raises(ValueError, match="no whole "):
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
