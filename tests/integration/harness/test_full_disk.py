import pytest

from tests.full_disk import no_file_grows_beyond
from tests.integration.harness.gate import Gate, outcome
from truss_async.client import PlatformClient
from truss_async.errors import ApiError

LIMIT_BYTES = 3_000_000


def submit_until_refused(client: PlatformClient, ids: list[str]) -> None:
    ids.extend(client.submit(model_input=[number, "x" * 200_000]).request_id for number in range(100))


def test_a_full_disk_refuses_new_requests_and_loses_no_accepted_one(
    client: PlatformClient, gate: Gate
) -> None:
    ids: list[str] = []
    with no_file_grows_beyond(LIMIT_BYTES):
        with pytest.raises(ApiError, match="state folder") as caught:
            submit_until_refused(client, ids)
        assert caught.value.status_code == 503
        gate.opened.set()
    assert len(ids) > 3
    for request_id in ids:
        assert outcome(client.wait(request_id, timeout_seconds=60)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
    assert outcome(client.wait(client.submit(model_input=1).request_id, timeout_seconds=60))[0] == "SUCCEEDED"
