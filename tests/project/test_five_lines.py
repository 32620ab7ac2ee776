def test_greets(async_harness, webhook_receiver):
    request = async_harness.submit({"name": "Ada"}, webhook_endpoint=webhook_receiver.url)
    result = webhook_receiver.wait_for(request).result
    assert result.data["text"] == "Hello, Ada!"
    assert request.wait() == "SUCCEEDED"
