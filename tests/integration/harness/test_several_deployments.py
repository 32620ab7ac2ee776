"""Several deployments in one harness: each call reaches the one it means, and each has slots of its own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.client import PlatformClient
from truss_async.contract import RequestStatus
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.settings import DeploymentSettings
from truss_async.webhooks.receiver import WebhookReceiver

NAMES = ("ocr1", "ocr2", "talk1", "c1")


def answering(name: str) -> Callable[[object], Answer]:
    return lambda _: Answer(body=f'"{name}"'.encode())


@pytest.fixture
def servers() -> Iterator[dict[str, ModelServer]]:
    with ExitStack() as running:
        yield {name: running.enter_context(ModelServer(answering(name))) for name in NAMES}


@pytest.fixture
def deployments(servers: dict[str, ModelServer]) -> tuple[DeploymentSettings, ...]:
    described = [
        {"model_id": "ocr", "deployment_id": "ocr1"},
        {"model_id": "ocr", "deployment_id": "ocr2", "environment": "staging"},
        {"model_id": "talk", "deployment_id": "talk1"},
        {"chain_id": "c", "deployment_id": "c1"},
    ]
    return tuple(
        DeploymentSettings.model_validate({**each, "model_url": servers[each["deployment_id"]].url})
        for each in described
    )


@pytest.fixture
def start(
    deployments: tuple[DeploymentSettings, ...], reports: list[str], tmp_path: Path
) -> Iterator[Callable[..., Harness]]:
    with ExitStack() as running:

        def start(served: tuple[DeploymentSettings, ...] = deployments) -> Harness:
            settings = HarnessSettings(
                deployments=served, port=0, state_dir=tmp_path / "state", webhook_secrets=(SECRET,)
            )
            return running.enter_context(Harness(settings, report=reports.append))

        yield start


@pytest.fixture
def http(start: Callable[..., Harness]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=start().url, headers={"Authorization": "Api-Key any"}, timeout=30) as http:
        yield http


@pytest.mark.parametrize(
    ("host", "path", "answer"),
    [
        ("model-ocr.localhost", "/production/predict", "ocr1"),
        ("model-ocr.localhost", "/predict", "ocr1"),
        ("model-ocr.localhost", "/environments/staging/predict", "ocr2"),
        ("model-ocr-staging.localhost", "/predict", "ocr2"),
        ("model-ocr.localhost", "/deployment/ocr2/predict", "ocr2"),
        ("model-talk.localhost", "/production/predict", "talk1"),
        ("model-talk.localhost", "/development/predict", "talk1"),
        ("127.0.0.1", "/model/talk/predict", "talk1"),
        ("chain-c.localhost", "/production/run_remote", "c1"),
        ("127.0.0.1", "/chain/c/production/run_remote", "c1"),
    ],
)
def test_a_call_reaches_the_deployment_it_means(
    http: httpx.Client, host: str, path: str, answer: str
) -> None:
    assert http.post(path, json={}, headers={"Host": host}).json() == answer


@pytest.mark.parametrize(
    ("host", "path", "message"),
    [
        (
            "127.0.0.1",
            "/production/predict",
            "serves the model ocr, model talk and chain c; choose one by the host model-ocr",
        ),
        (
            "model-none.localhost",
            "/production/predict",
            "unknown model none; this harness serves the model ocr, ",
        ),
        ("model-ocr.localhost", "/deployment/talk1/predict", "no deployment talk1 of this model"),
        ("model-ocr.localhost", "/development/predict", "no environment development of this model"),
        ("model-talk.localhost", "/environments/staging/predict", "no environment staging of this model"),
    ],
)
def test_a_call_that_means_none_is_refused(http: httpx.Client, host: str, path: str, message: str) -> None:
    refused = http.post(path, json={}, headers={"Host": host})
    assert (refused.status_code, refused.json()["error_code"]) == (404, "model_does_not_exist")
    assert message in refused.json()["error"]


def test_async_requests_tell_the_model_they_are_of_and_need_no_model_in_the_status_call(
    http: httpx.Client, receiver: WebhookReceiver
) -> None:
    body = {"model_input": 1, "webhook_endpoint": receiver.url}
    for prefix, target, word in [
        ("model/ocr", "environments/staging", "async_predict"),
        ("chain/c", "production", "async_run_remote"),
    ]:
        request_id = http.post(f"/{prefix}/{target}/{word}", json=body).json()["request_id"]
        result = receiver.wait_for(request_id).result
        assert result is not None
        kind, name = prefix.split("/")
        status = http.get(f"/async_request/{request_id}").json()
        assert (status[f"{kind}_id"], status["deployment_id"]) == (name, result.deployment_id)
        assert len({"model_id", "chain_id"} & status.keys()) == 1
        assert result.data == result.deployment_id


def test_a_busy_deployment_does_not_delay_another(
    http: httpx.Client, servers: dict[str, ModelServer]
) -> None:
    gate = Gate()
    servers["ocr1"].behave = gate
    ids = {}
    try:
        for model in ("ocr", "talk"):
            client = PlatformClient(f"{http.base_url}/model/{model}", api_key="any")
            with client:
                ids[model] = client.submit(model_input={}).request_id
                if model == "talk":
                    assert client.wait(ids[model], timeout_seconds=30).status is RequestStatus.SUCCEEDED
        counted = http.get("/model/ocr/production/async_queue_status").json()
        assert (counted["model_id"], counted["deployment_id"]) == ("ocr", "ocr1")
        assert counted["num_queued_requests"] + counted["num_in_progress_requests"] == 1
    finally:
        gate.opened.set()
    metrics = http.get("/metrics").text
    assert (
        'baseten_async_queue_size{deployment_id="talk1",environment="production",model_id="talk"' in metrics
    )


def test_requests_of_a_deployment_that_is_no_longer_served_wait_for_it(
    start: Callable[..., Harness],
    deployments: tuple[DeploymentSettings, ...],
    servers: dict[str, ModelServer],
    reports: list[str],
) -> None:
    gate = Gate()
    servers["talk1"].behave = gate
    harness = start()
    with PlatformClient(f"{harness.url}/model/talk", api_key="any") as client:
        request_id = client.submit(model_input={}).request_id
    harness.close()
    gate.opened.set()
    harness = start(deployments[:1])
    assert any(
        "1 request of an earlier run is for the deployment talk1, the model talk" in line for line in reports
    )
    with PlatformClient(harness.url, api_key="any") as client:
        assert not client.status(request_id).status.is_final
    harness.close()
    harness = start()
    with PlatformClient(harness.url, api_key="any") as client:
        assert client.wait(request_id, timeout_seconds=30).status is RequestStatus.SUCCEEDED
