"""What the clients give as typed answers is all that came over the wire, in the order in which it came."""

import json
from collections.abc import Callable

import httpx

from truss_async.client import HarnessClient
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

KEY = {"Authorization": "Api-Key any"}


def told(harness: Harness, path: str) -> str:
    """The body of a GET, as it came."""
    return httpx.get(f"{harness.url}{path}", headers=KEY).text


def test_the_queue_status_and_the_health(harness: Harness) -> None:
    with HarnessClient(harness.url, api_key="any", target="deployment/local1") as client:
        assert client.queue_status().model_dump_json() == told(harness, "/async_queue_status")
        while client.health().model != "ready":
            pass
        health = client.health()
    assert health.model_dump_json() == told(harness, "/healthz")
    assert (health.replicas_ready, list(health.deployments)) == (1, ["local1"])


def test_the_record_of_a_request(harness: Harness, receiver: WebhookReceiver) -> None:
    with HarnessClient(harness.url, api_key="any") as client:
        client.add_fault(FaultRule(kind=FaultKind.WEBHOOK_DOUBLED))
        request_id = client.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        client.wait(request_id, timeout_seconds=30)
        record = client.request_record(request_id)
    assert record.model_dump_json(exclude={"chain_id"}) == told(harness, f"/_harness/requests/{request_id}")
    assert (record.priority, record.inference_attempts) == (0, 1)
    assert [sent.status_code for sent in record.deliveries] == [200]
    assert [strike.kind for strike in record.faults] == [FaultKind.WEBHOOK_DOUBLED]


def test_a_chains_record_has_its_chain_id_and_no_model_id(serve: Callable[..., Harness]) -> None:
    harness = serve(chain_id="c1")
    with HarnessClient(harness.url, api_key="any") as client:
        answer = httpx.post(f"{harness.url}/async_run_remote", json={"model_input": 1}, headers=KEY)
        request_id = answer.json()["request_id"]
        client.wait(request_id, timeout_seconds=30)
        record = client.request_record(request_id)
    assert (record.chain_id, record.model_id) == ("c1", None)
    assert "model_id" not in json.loads(told(harness, f"/_harness/requests/{request_id}"))
