"""Tests share the process of the model, and nothing else."""

import os

import pytest

import truss_async

processes = set()


@pytest.mark.parametrize("number", range(3))
def test_each_test_has_a_queue_of_its_own(async_harness, webhook_receiver, output_store, number):
    request = async_harness.submit({"name": "Ada"}, webhook_endpoint=webhook_receiver.url)
    processes.add(webhook_receiver.wait_for(request).result.data["process"])
    assert len(async_harness.requests) == 1
    assert len(webhook_receiver.deliveries) == 1
    assert len(processes) == 1
    assert os.getpid() not in processes


def test_the_package_is_the_one_from_the_wheel():
    assert truss_async.__file__.startswith(os.environ["INSTALLED"])


@pytest.mark.async_harness(virtual_clock=False)
def test_time_may_be_real(async_harness):
    assert async_harness.submit({"name": "Ada"}).wait() == "SUCCEEDED"


def test_a_receiver_needs_no_harness(webhook_receiver):
    assert webhook_receiver.deliveries == ()
