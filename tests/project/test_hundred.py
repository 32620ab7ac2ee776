"""A hundred tests, each with a platform of its own."""

import pytest

from truss_async import AsyncOutputModel


class Model(AsyncOutputModel):
    async def predict(self, model_input):
        return {"number": model_input["number"] + 1}


@pytest.mark.parametrize("number", range(100))
@pytest.mark.async_harness(model=Model)
def test_adds_one(async_harness, webhook_receiver, output_store, number):
    request = async_harness.submit({"number": number}, webhook_endpoint=webhook_receiver.url)
    assert webhook_receiver.wait_for(request).result.data == {"number": number + 1}
    assert [stored.request_id for stored in output_store.list()] == [request.request_id]
