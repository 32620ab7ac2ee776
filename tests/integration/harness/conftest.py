from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.harness.gate import Gate
from tests.integration.harness.model_server import ModelServer
from tests.postgres_server import PostgresServer, postgres_server
from truss_async.client import PlatformClient
from truss_async.clock import MovableClock
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks.receiver import WebhookReceiver

SECRET = "whsec_" + "a1B2" * 9
_schemas = count(1)


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver(secrets=(SECRET,)) as receiver:
        yield receiver


@pytest.fixture
def reports() -> list[str]:
    """What the harness said to its user."""
    return []


@pytest.fixture
def serve(model: ModelServer, reports: list[str], tmp_path: Path) -> Iterator[Callable[..., Harness]]:
    """Start a harness on the model server; options are those of HarnessSettings, and ``clock``."""
    with ExitStack() as running:

        def start(*, clock: MovableClock | None = None, **options: Any) -> Harness:
            options = {
                "model_url": model.url,
                "model_id": "local",
                "install": False,
                "port": 0,
                "state_dir": tmp_path / "state",
                "webhook_secrets": (SECRET,),
                "sync_retries": False,  # tests want the model's bare answer
                **options,
            }
            harness = Harness(HarnessSettings(**options), clock=clock, report=reports.append)
            return running.enter_context(harness)

        yield start


@pytest.fixture
def node() -> Iterator[Callable[..., Harness]]:
    """Start one more harness on the same queue in a database, which is new; all are closed at the end."""
    schema = f"nodes_{next(_schemas)}"
    with ExitStack() as nodes:

        def start(
            url: str | None = None,
            *,
            server: PostgresServer | None = None,
            report: Callable[[str], None] = lambda _: None,
            **settings: Any,
        ) -> Harness:
            options = {"model_id": "m", "port": 0, "state_schema": schema, "lease_seconds": 60, **settings}
            state = (server or postgres_server()).address
            made = HarnessSettings(model_url=url, state=state, **options)
            return nodes.enter_context(Harness(made, stories=False, report=report, log=lambda _: None))

        yield start


@pytest.fixture
def harness(serve: Callable[..., Harness]) -> Harness:
    return serve()


@pytest.fixture
def client(harness: Harness) -> Iterator[PlatformClient]:
    with PlatformClient(harness.url, api_key="any") as client:
        yield client


@pytest.fixture
def http(harness: Harness) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=harness.url, headers={"Authorization": "Api-Key any"}, timeout=30) as client:
        yield client


@pytest.fixture
def gate(model: ModelServer) -> Iterator[Gate]:
    gate = Gate()
    model.behave = gate
    yield gate
    gate.opened.set()
