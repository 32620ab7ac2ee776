"""Thousands of saves leave nothing behind in the process."""

from __future__ import annotations

import gc
import logging
import os
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from truss_async.model import AsyncOutputModel
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.unit.model.conftest import MakeRequest

THREADS = 64
FIRST = 1_000
REQUEST_IDS = 50


class Model(AsyncOutputModel):
    def predict(self, number: int) -> dict[str, Any]:
        if number % 50 == 0:
            raise ValueError
        if number % 10 == 0:
            return {"n": number, "image": b"GIF89a" * 100}
        return {"n": number, "text": "x" * 1000}


@pytest.fixture
def traced() -> Iterator[None]:
    # What measures coverage, or debugs, keeps some memory for each thread; and pytest keeps all that is logged, which is
    # more where the machine is slow.
    logging.disable()
    trace, trace_of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    sys.settrace(trace)
    threading.settrace(trace_of_threads)
    logging.disable(logging.NOTSET)


def serve(model: Any, make_request: MakeRequest, numbers: Iterable[int]) -> None:
    def one(number: int) -> None:
        request = make_request(f"r{number % REQUEST_IDS}")
        try:
            output = model.predict(number, request)
        except ValueError:
            return
        model.postprocess(output, request)

    with ThreadPoolExecutor(THREADS) as pool:
        for done in pool.map(one, numbers):
            assert done is None
    store = OutputStore.from_url(os.environ["TRUSS_ASYNC_OUTPUT_URL"])
    for number in range(REQUEST_IDS):  # what is stored grows with each attempt at a request
        store.delete(f"r{number}")


@pytest.mark.parametrize(("kind", "saves"), [("memory", 10_000), ("file", 2_000)])
def test_saves_leave_no_thread_no_open_file_and_no_memory(
    kind: str,
    saves: int,
    tmp_path: Path,
    make_request: MakeRequest,
    monkeypatch: pytest.MonkeyPatch,
    traced: None,
) -> None:
    url = tmp_path.as_uri() if kind == "file" else f"memory://{tmp_path.name}"
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", url)
    process, model = psutil.Process(), Model()
    threads = set(threading.enumerate())
    serve(model, make_request, range(FIRST))
    gc.collect()
    files, memory = process.num_fds(), tracemalloc.get_traced_memory()[0]
    serve(model, make_request, range(FIRST, saves))
    gc.collect()
    assert set(threading.enumerate()) <= threads  # of which one that an earlier test left may have ended
    assert process.num_fds() == files
    assert tracemalloc.get_traced_memory()[0] - memory < 100_000
