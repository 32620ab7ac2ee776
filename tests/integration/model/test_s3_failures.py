"""A real S3 server that fails the real Truss server: what was computed is in the store, is spilled, or fails loudly."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.integration.model.model_server import ModelServer, wait_until
from tests.integration.model.s3_proxy import S3Proxy
from truss_async.demo.s3_server import S3Server
from truss_async.errors import TrussAsyncError
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.integration.model.conftest import Serve
    from tests.integration.model.model_server import Answer

MODEL = """
from truss_async.model import AsyncOutputModel

class Model(AsyncOutputModel):
    output_compression = "gzip"
    output_timeout_seconds = 0.5

    def predict(self, model_input):
        return {"n": model_input} if model_input % 2 else {"n": model_input, "image": b"GIF89a"}
"""
PLAIN, WITH_ARTIFACT = 1, 2
MODES = ("raise", "spill", "log")
STORED_ALL_THE_SAME = ("fine", "slow", "unheard-once")
FAULTS = (*STORED_ALL_THE_SAME, "unavailable", "refused", "stalled", "unheard")


@dataclasses.dataclass
class Bench:
    """An S3 server behind a proxy, and a model server for each way of failing."""

    s3: S3Server
    proxy: S3Proxy
    spill_dir: Path
    servers: dict[str, ModelServer] = dataclasses.field(default_factory=dict)

    @property
    def store(self) -> OutputStore:
        return OutputStore.from_url("s3://bucket/outputs", credentials=self.s3.credentials())

    def ask(self, faults: Iterable[str]) -> list[Case]:
        """Meet each fault in each mode, with and without an artifact, all at once."""
        cases = [
            Case(fault, mode, model_input) for fault in faults for mode in MODES for model_input in (1, 2)
        ]
        with ThreadPoolExecutor(len(cases)) as pool:
            list(pool.map(lambda case: case.ask(self.servers[case.mode]), cases))
        return cases

    def is_stored(self, case: Case) -> bool:
        try:
            result = self.store.get(case.request_id)
            for reference in self.store.artifacts(case.request_id):
                with self.store.open_artifact(reference) as file:
                    assert file.read() == b"GIF89a"
        except TrussAsyncError:
            return False
        assert result.data["n"] == case.model_input
        return case.model_input == PLAIN or len(self.store.artifacts(case.request_id)) == 1

    def spilled(self) -> set[str]:
        notes = [json.loads(note.read_bytes()) for note in self.spill_dir.glob("*.json")]
        return {note["key"] for note in notes}


@dataclasses.dataclass
class Case:
    """One output that is computed while the store fails."""

    fault: str
    mode: str
    model_input: int
    answer: Answer | None = None

    @property
    def request_id(self) -> str:
        return f"{self.fault}_{self.mode}-{self.model_input}"

    def ask(self, server: ModelServer) -> None:
        self.answer = server.predict(self.model_input, self.request_id)

    @property
    def status(self) -> int:
        assert self.answer is not None
        return self.answer.status


@pytest.fixture
def bench(serve: Serve, tmp_path: Path) -> Iterator[Bench]:
    s3 = S3Server(tmp_path / "s3")
    s3.start()
    s3.create_bucket("bucket")
    try:
        with S3Proxy(s3.endpoint_url) as proxy:
            it = Bench(s3, proxy, tmp_path / "spill")
            environment: dict[str, Any] = {
                **s3.environment(),
                "AWS_ENDPOINT_URL": proxy.url,
                "TRUSS_ASYNC_OUTPUT_URL": it.store.url,
                "TRUSS_ASYNC_OUTPUT_SPILL_DIR": str(it.spill_dir),
            }

            def start(mode: str) -> ModelServer:
                return serve(MODEL, config=None, **environment, TRUSS_ASYNC_OUTPUT_ON_FAILURE=mode)

            with ThreadPoolExecutor(3) as pool:
                it.servers = dict(zip(MODES, pool.map(start, MODES), strict=True))
            yield it
    finally:
        s3.stop()


def check(bench: Bench, case: Case) -> None:
    """The output of the case is where it should be, or its request has failed."""
    name = case.request_id
    if case.fault in STORED_ALL_THE_SAME:
        assert (case.status, bench.is_stored(case)) == (200, True), name
    elif case.mode == "raise" or (case.mode == "log" and case.model_input == WITH_ARTIFACT):
        assert case.status == 500, name
        bench.servers[case.mode].wait_for_log(f"the output of request {name} is not saved: cannot write")
    elif case.mode == "log":
        assert case.answer is not None
        assert (case.status, case.answer.json) == (200, {"n": case.model_input}), name
        bench.servers["log"].wait_for_log(f"the output of request {name} is answered but not saved: cannot")
    else:
        assert case.status == 200, name
        # An upload of it may have begun: what is let go of there is in the store.
        assert f"{name}.json" in bench.spilled() or bench.is_stored(case), name


def check_all(bench: Bench, cases: list[Case]) -> None:
    for case in cases:
        check(bench, case)


def weed(bench: Bench) -> psutil.Process:
    """The S3 server's own process."""
    tether = bench.s3._process
    assert tether is not None
    [process] = psutil.Process(tether.pid).children()
    return process


def test_whatever_the_s3_server_does_no_output_is_lost(bench: Bench) -> None:
    spilled = bench.ask(FAULTS)
    check_all(bench, spilled)

    pid, unlimited = weed(bench).pid, resource.RLIM_INFINITY
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, unlimited))
    full = bench.ask(["full"])
    check_all(bench, full)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (unlimited, unlimited))

    os.kill(pid, signal.SIGKILL)
    killed = bench.ask(["killed"])
    check_all(bench, killed)

    bench.s3.stop()
    bench.s3.start()
    bench.proxy.endpoint_url = bench.s3.endpoint_url
    bench.proxy.has_faults = False
    wait_until(lambda: not list(bench.spill_dir.iterdir()), "all that was spilled is uploaded")
    for case in (*spilled, *full, *killed):
        assert bench.is_stored(case) or case.mode != "spill", case.request_id
    for case in bench.ask(["fine"]):
        check(bench, case)


def test_what_is_spilled_before_there_is_a_bucket_is_uploaded_later(serve: Serve, tmp_path: Path) -> None:
    """And an output that was refused for want of a bucket has failed, and leaves nothing."""
    spill = tmp_path / "spill"
    with S3Server() as s3:
        environment: dict[str, Any] = s3.environment() | {
            "TRUSS_ASYNC_OUTPUT_URL": "s3://later/outputs",
            "TRUSS_ASYNC_OUTPUT_ON_FAILURE": "spill",
            "TRUSS_ASYNC_OUTPUT_SPILL_DIR": str(spill),
            "TRUSS_ASYNC_OUTPUT_CHECK": "false",
        }
        server = serve(MODEL, **environment)
        answer = server.predict(2, "early")
        assert answer.status == 200
        assert len(list(spill.iterdir())) == 4
        s3.create_bucket("later")
        wait_until(lambda: not list(spill.iterdir()), "the spill folder is empty")
        keys = {each["Key"] for each in s3.client().list_objects_v2(Bucket="later")["Contents"]}
    assert keys == {"outputs/early.json", answer.json["image"]["url"].removeprefix("s3://later/")}
