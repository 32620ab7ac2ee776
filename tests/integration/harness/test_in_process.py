"""A harness that serves a model given in Python: the same life of a request, without a process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from truss_async import AsyncOutputModel, OutputStore, PlatformClient
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.settings import DeploymentSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from truss_async import Harness
    from truss_async.webhooks.receiver import WebhookReceiver


class Greeting(AsyncOutputModel):
    output_url = "memory://greetings"

    def predict(self, model_input: dict[str, Any]) -> dict[str, Any]:
        return {"text": f"Hello, {model_input['name']}!", "id": self.context["request_id"]}


def test_an_async_request_is_run_delivered_and_saved(
    serve: Callable[..., Harness], receiver: WebhookReceiver
) -> None:
    harness = serve(model=Greeting, model_url=None)
    with PlatformClient(harness.url, api_key="any") as client:
        accepted = client.submit(model_input={"name": "Ada"}, webhook_endpoint=receiver.url)
        status = client.wait(accepted.request_id, timeout_seconds=30)
        assert status.status == "SUCCEEDED"
        result = receiver.wait_for(accepted.request_id, timeout_seconds=30).result
    assert result is not None
    assert result.data == {"text": "Hello, Ada!", "id": accepted.request_id}
    assert OutputStore.from_url("memory://greetings").get(accepted.request_id).data == result.data


def test_several_models_are_deployments_of_one_harness(serve: Callable[..., Harness], tmp_path: Path) -> None:
    harness = serve(
        model_url=None,
        deployments=[
            DeploymentSettings(model=lambda model_input: 1, model_id="one", deployment_id="one1"),
            DeploymentSettings(model=lambda model_input: 2, model_id="two", deployment_id="two1"),
        ],
    )
    with PlatformClient(f"{harness.url}/model/two", api_key="any") as client:
        accepted = client.submit(model_input={})
        assert client.wait(accepted.request_id, timeout_seconds=30).deployment_id == "two1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": 3}, "not a model, because it has no predict and is not callable: 3"),
        ({"model": Greeting, "model_url": "http://localhost"}, "give a model object or a location, not both"),
        ({"model": Greeting, "truss_dir": "x"}, "give a model object or a location, not both"),
        ({"model": Greeting, "deployments": [{"model": Greeting}]}, "give one deployment, or several"),
    ],
)
def test_what_is_no_model_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HarnessSettings(**options)
