"""One chain, packaged and then served, for all tests of a module: each chainlet is a Truss server, which takes a while to load."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.chains import ChainSource
from truss_async.replicas.chains.packaging import ChainPackageReport, package_chain
from truss_async.stores.schemes import LIBRARIES
from truss_async.webhooks.receiver import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "whsec_" + "a1B2" * 9
CHAIN = Path(__file__).parents[2] / "project" / "chain"


class Served:
    """The chain of ``tests/project/chain``, served from a copy."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "chain" / "report_chain.py"
        self.outputs = folder / "outputs"
        self.reports: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.logs: list[str] = []
        self.packaged: ChainPackageReport
        self.harness: Harness
        self.http: httpx.Client
        self.receiver: WebhookReceiver


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    chain = Served(folder)
    _copy(CHAIN, folder / "chain")
    chain.packaged = package_chain(ChainSource.parse(str(chain.file)), store_libraries=LIBRARIES)
    settings = HarnessSettings(
        chain=str(chain.file), port=0, install=False, webhook_secrets=(SECRET,), api_key="key"
    )
    outputs = {"TRUSS_ASYNC_OUTPUT_URL": chain.outputs.as_uri()}
    harness = Harness(settings, environment=outputs, report=chain.reports.put, log=chain.logs.append)
    headers = {"Authorization": "Api-Key key"}
    with WebhookReceiver(secrets=(SECRET,)) as receiver, harness:
        harness.wait_ready(timeout_seconds=300)
        with httpx.Client(base_url=harness.url, headers=headers, timeout=60) as http:
            chain.harness, chain.http, chain.receiver = harness, http, receiver
            yield chain


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
