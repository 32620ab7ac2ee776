from collections.abc import Callable

import pytest

from tests.integration.harness.gate import outcome
from truss_async.client import PlatformClient
from truss_async.harness.harness import Harness


@pytest.mark.parametrize("durability", ["process", "full"])
def test_requests_are_served_at_each_durability(serve: Callable[..., Harness], durability: str) -> None:
    with PlatformClient(serve(durability=durability).url, api_key="any") as client:
        request_id = client.submit(model_input=1).request_id
        assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
