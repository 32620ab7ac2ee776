"""Each of these fails, by itself or by what it leaves behind."""

import pytest


def test_expects_what_does_not_come(async_harness):
    request = async_harness.submit({"nobody": True})
    assert request.wait() == "SUCCEEDED"


def test_overlooks_what_the_model_raised(async_harness):
    async_harness.submit({"nobody": True}).wait()


@pytest.mark.async_harness(model=lambda model_input: "output")
def test_overlooks_a_webhook_that_is_refused(async_harness, webhook_receiver):
    webhook_receiver.answer_next(410)
    async_harness.submit(1, webhook_endpoint=webhook_receiver.url).wait()


@pytest.mark.async_harness(model=lambda model_input: "output")
def test_leaves_a_request_behind(async_harness):
    async_harness.pause()
    async_harness.submit(1)


@pytest.mark.async_harness(model=lambda model_input: "output")
def test_waits_for_what_cannot_come(async_harness):
    async_harness.pause()
    async_harness.submit(1).wait()


@pytest.mark.async_harness(allow="mistakes")
def test_allows_what_there_is_not(async_harness):
    pass


class Broken:
    def load(self):
        raise OSError("no weights")

    def predict(self, model_input):
        return model_input


@pytest.mark.async_harness(model=Broken)
def test_has_a_model_that_does_not_load(async_harness):
    pass
