from __future__ import annotations

import ast
import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truss_async.python_code import parsed

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turn:
    """Lets other threads have a turn where the garbage collector finds it: amid the parser's work."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        for _ in range(20):
            pass


@pytest.fixture
def _hasty() -> Iterator[None]:
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(100)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


@pytest.mark.usefixtures("_hasty")
def test_threads_parse_at_the_same_time() -> None:
    source = Path(ast.__file__).read_bytes()[:40_000].rpartition(b"\n\n\n")[0]

    def parse(_: int) -> None:
        for _ in range(50):
            Turn()
        assert parsed(source).body

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(parse, range(40)))


@pytest.mark.parametrize("source", ["def", "a = 1\0", "-" * 100_000 + "1", "(" * 100_000, b"\xff = 1"])
def test_what_is_no_python_is_a_syntax_error(source: str | bytes) -> None:
    with pytest.raises(SyntaxError):
        parsed(source)
