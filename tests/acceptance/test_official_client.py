"""The official Python client is the judge of the wire format: it calls ``serve example_truss`` unchanged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from baseten.client import InferenceClient
from baseten.client.inferenceapi import AsyncPredictRequest, PredictInput, ResponseErrorResponse

from tests.acceptance.serving import ROOT, Served
from truss_async import OutputStore
from truss_async.client import PlatformClient
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_" + "k3Y" * 12
PAGE = f"file://{ROOT}/example_truss/pages/receipt-1.png"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture(scope="module")
def served(outputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environment = {"TRUSS_ASYNC_OUTPUT_URL": outputs.as_uri()}
    cwd = tmp_path_factory.mktemp("served")
    with Served(
        ROOT / "example_truss", "--port", "0", "--webhook-secret", SECRET, environment=environment, cwd=cwd
    ) as served:
        served.wait_for_line("is ready", timeout_seconds=300)  # the first time, an environment is made for it
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[InferenceClient]:
    client = InferenceClient(api_key="k", base_url_override=served.url)
    yield client
    client.close()


def statuses(client: InferenceClient, request_id: str) -> tuple[str, str]:
    """Text in newer versions of the client, an enum of text in those for Python 3.10."""
    answer = client.api.get_async_request_status(request_id=request_id)
    return getattr(answer.status, "value", answer.status), getattr(
        answer.webhook_status, "value", answer.webhook_status
    )


def test_an_async_request_of_the_official_client_is_read_delivered_and_kept(
    served: Served, client: InferenceClient, outputs: Path
) -> None:
    with WebhookReceiver(secrets=[SECRET]) as receiver:
        request = AsyncPredictRequest(model_input={"page": PAGE}, webhook_endpoint=receiver.url, priority=1)
        request_id = client.api.async_predict_production(request=request).request_id
        assert statuses(client, request_id)[0] in ("QUEUED", "IN_PROGRESS")
        delivered = receiver.wait_for(request_id, timeout_seconds=120)
    with PlatformClient(served.url, api_key="k") as ours:
        ours.wait(request_id, timeout_seconds=30)
    status = client.api.get_async_request_status(request_id=request_id)
    assert statuses(client, request_id) == ("SUCCEEDED", "SUCCEEDED")
    assert (status.model_id, status.chain_id, status.errors) == ("example_truss", None, [])

    assert delivered.result is not None
    kept = OutputStore.from_url(outputs.as_uri()).get(request_id)
    assert kept.data == delivered.result.data
    assert any("TOTAL" in line["text"].upper() for line in kept.data["lines"])


def test_a_sync_call_of_the_official_client_gets_the_models_answer(client: InferenceClient) -> None:
    client.http_client.timeout = 120
    output = client.api.predict_production(request=PredictInput({"page": PAGE})).root
    assert output["lines"]
    assert output["annotated"]["content_type"] == "image/png"


def test_the_official_client_cancels(client: InferenceClient) -> None:
    request = AsyncPredictRequest(model_input={"page": PAGE}, priority=2)
    ids = [client.api.async_predict_production(request=request).request_id for _ in range(3)]
    answers = [client.api.cancel_async_request(request_id=request_id) for request_id in reversed(ids)]
    assert answers[0].canceled
    assert statuses(client, ids[-1]) == ("CANCELED", "NO_WEBHOOK_PROVIDED")
    assert [answer.request_id for answer in answers] == ids[::-1]


def test_the_official_client_reads_our_refusals(client: InferenceClient) -> None:
    with pytest.raises(ResponseErrorResponse, match="http") as caught:
        client.api.async_predict_production(
            request=AsyncPredictRequest.model_validate(
                {"model_input": {}, "webhook_endpoint": "http://example.com"}
            )
        )
    assert caught.value.status_code == 400
