"""Tests on a platform of their own, whose clock stands still.

``pytest`` runs the model in this process, which takes milliseconds; ``pytest --truss .`` runs it on the real Truss server.
"""

import pytest
from model.model import Model


@pytest.fixture
def async_harness_settings(pytestconfig):
    return {} if pytestconfig.getoption("truss") else {"model": Model}


def test_the_output_is_delivered_and_saved(async_harness, webhook_receiver, output_store):
    request = async_harness.submit({"name": "Ada"}, webhook_endpoint=webhook_receiver.url)
    assert webhook_receiver.wait_for(request).result.data == {"text": "Hello, Ada!"}
    assert output_store.get(request.request_id).data == {"text": "Hello, Ada!"}


def test_a_webhook_that_is_refused_is_sent_again(async_harness, webhook_receiver):
    webhook_receiver.answer_next(503)
    request = async_harness.submit({"name": "Grace"}, webhook_endpoint=webhook_receiver.url)
    assert request.wait() == "SUCCEEDED"
    assert [attempt.status_code for attempt in async_harness.deliveries] == [503, 200]


@pytest.mark.async_harness(allow="model_errors")
def test_an_input_without_a_name_fails(async_harness):
    assert async_harness.submit({}).wait() == "FAILED"
