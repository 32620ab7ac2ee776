import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.integration.harness.model_server import Answer, ModelServer, echo
from tests.integration.page.visitor import Visitor
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks.receiver import WebhookReceiver

SECRET = "whsec_" + "a1B2" * 9


class Model:
    """Fails as long as it is broken; says why."""

    def __init__(self) -> None:
        self.is_broken = False
        self.error = "no more memory"

    def __call__(self, model_input: Any) -> Answer:
        return (
            Answer(500, json.dumps({"error": self.error}).encode()) if self.is_broken else echo(model_input)
        )


@pytest.fixture(scope="module")
def shared_model() -> Model:
    return Model()


@pytest.fixture
def model(shared_model: Model) -> Iterator[Model]:
    yield shared_model
    shared_model.is_broken = False


@pytest.fixture(scope="module")
def receiver() -> Iterator[WebhookReceiver]:
    with WebhookReceiver(secrets=(SECRET,)) as receiver:
        yield receiver


@pytest.fixture(scope="module")
def serve(shared_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Harness]]:
    """Start a harness on the model; options are those of HarnessSettings. It runs as long as the module's tests do."""
    with ExitStack() as running:
        server = running.enter_context(ModelServer(shared_model))

        def start(**options: Any) -> Harness:
            options = {
                "model_url": server.url,
                "model_id": "local",
                "port": 0,
                "state_dir": tmp_path_factory.mktemp("state"),
                "webhook_secrets": (SECRET,),
                "quiet": True,
                **options,
            }
            return running.enter_context(Harness(HarnessSettings(**options), report=lambda line: None))

        yield start


@pytest.fixture(scope="module")
def harness(serve: Callable[..., Harness]) -> Harness:
    return serve()


@pytest.fixture
def visitor(harness: Harness) -> Iterator[Visitor]:
    with Visitor(harness) as visitor:
        yield visitor
