"""The pytest fixture serves a chain, on its clock."""

from pathlib import Path

import pytest

from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

CHAIN = Path(__file__).parents[2] / "project" / "lone_chain" / "lone_chain.py"


@pytest.mark.async_harness(chain=f"{CHAIN}:Half", chain_id="halving", install=False)
def test_a_marker_names_the_chain(async_harness: Harness, webhook_receiver: WebhookReceiver) -> None:
    request = async_harness.submit({"n": 20}, webhook_endpoint=webhook_receiver.url)
    result = webhook_receiver.wait_for(request.request_id, timeout_seconds=60).result
    assert result is not None
    assert (result.deployment_id, result.data) == ("halving__Half", 10)


@pytest.mark.async_harness(
    chain=f"{CHAIN}:Half", chain_id="halving", chainlets={"Half": {"stub": {"half": 7}}}
)
def test_a_stub_answers_for_a_chainlet(async_harness: Harness) -> None:
    request = async_harness.submit({"n": 20})
    assert request.wait() == "SUCCEEDED"
    assert request.output == {"half": 7}
