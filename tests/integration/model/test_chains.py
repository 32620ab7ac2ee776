"""``@save_output`` on a chainlet, in the truss that the chains tool makes of it, on the real Truss entry."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.model.model_server import ModelServer
from truss_async.errors import RequestFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.model.model_server import BackgroundLoop

CHAIN = """
import os, socket, threading, pydantic
import truss_chains as chains
from truss.templates.shared import dynamic_config_resolver
from truss_async import save_output
from truss_async.model.saver import OutputSaver

released, save = threading.Event(), OutputSaver.save

def save_when_released(self, request_id, output, **keywords):
    # Tells when it begins to save the request "held", and goes on when another request says so.
    if request_id == "held":
        socket.create_connection(("127.0.0.1", int(os.environ["CHAIN_TOLD"])), timeout=30).close()
        assert released.wait(60), "the slot is not free"
    return save(self, request_id, output, **keywords)

OutputSaver.save = save_when_released

# In an image, the addresses of the other chainlets lie in a folder below /etc.
dynamic_config_resolver.DYNAMIC_CONFIG_MOUNT_DIR = os.environ.get("CHAIN_CONFIG_DIR", "/etc")

class Report(pydantic.BaseModel):
    total: int
    scan: bytes = b"GIF89a"

class Doubler(chains.ChainletBase):
    def run_remote(self, n: int) -> int:
        return n * 2

@chains.mark_entrypoint
class Entry(chains.ChainletBase):
    def __init__(
        self, doubler: Doubler = chains.depends(Doubler), context: chains.DeploymentContext = chains.depends_context()
    ) -> None:
        self._doubler = doubler

    @save_output(model_id="entry")
    async def run_remote(self, n: int) -> Report:
        if n < 0:
            raise ValueError("negative")
        if n == 100:
            released.set()
        return Report(total=n + 1)
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trusses that ``truss chains push --dryrun`` makes of the chain, one for each chainlet."""
    folder, temporary = tmp_path_factory.mktemp("chain"), tmp_path_factory.mktemp("temporary")
    (folder / "chain.py").write_text(CHAIN)
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [scripts / "truss", "chains", "push", "chain.py", "--dryrun"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return temporary / ".chains_generated" / "Entry"


@pytest.fixture
def told() -> Iterator[socket.socket]:
    """Where the chainlet connects to when it begins to save the request ``held``."""
    with socket.create_server(("127.0.0.1", 0)) as told:
        told.settimeout(60)
        yield told


@pytest.fixture
def entry(
    generated: Path, background_loop: BackgroundLoop, tmp_path: Path, told: socket.socket
) -> Iterator[ModelServer]:
    server = ModelServer.in_folder(tmp_path / "entry", background_loop, {})
    server.environment["TRUSS_SECRET_baseten_chain_api_key"] = "key"
    server.environment["CHAIN_CONFIG_DIR"] = str(server.folder)
    server.environment["CHAIN_TOLD"] = str(told.getsockname()[1])
    urls = {"Doubler": {"predict_url": "http://127.0.0.1:1/"}}
    (server.folder / "dynamic_chainlet_config").write_text(json.dumps(urls))
    server.start_truss(generated / "chainlet_Entry")
    yield server
    server.stop()


def test_what_a_chainlet_returns_is_saved_outside_of_its_slot_and_answered_as_it_is(
    entry: ModelServer, told: socket.socket
) -> None:
    answer = entry.predict({"n": 1}, "r")
    assert answer.json == {"total": 2, "scan": "GIF89a"}
    result = entry.result("r")
    assert (result.model_id, result.data["total"]) == ("entry", 2)
    assert result.data["scan"]["url"].endswith("/r/scan.gif")
    assert entry.stored_files() == ["r.json", "r/scan.gif"]

    assert entry.predict({"n": -1}, "failed").status == 500
    with pytest.raises(RequestFailedError, match="MODEL_PREDICT_ERROR"):
        entry.result("failed")

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(entry.predict, {"n": 2}, "held")
        told.accept()[0].close()
        assert entry.predict({"n": 100}, "other").json["total"] == 101
        assert held.result(timeout=60).json["total"] == 3
    assert entry.result("held").data["total"] == 3
