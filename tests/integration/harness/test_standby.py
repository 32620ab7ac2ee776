"""An address that names several databases: a node goes to the one that can be written to."""

import pytest

from tests.integration.harness.gate import outcome
from tests.postgres_server import reachable_by_any_name
from truss_async.client import HarnessClient
from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import ApiError
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings

SOON = 30


def test_a_node_finds_the_database_that_can_be_written_to_and_finds_it_again() -> None:
    with (
        reachable_by_any_name(default_transaction_read_only="on") as (_, standby),
        reachable_by_any_name() as (primary, variables),
    ):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ("1", standby["PGPORT"], variables["PGPORT"]))
        state = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
        settings = HarnessSettings(stub="echo", port=0, state=state)
        with (
            Harness(settings, report=lambda _: None, log=lambda _: None) as harness,
            HarnessClient(harness.url, api_key="any") as client,
        ):
            first = client.submit(model_input=1).request_id
            assert client.wait(first, timeout_seconds=SOON).status.value == "SUCCEEDED"
            primary.stop()
            with pytest.raises(ApiError, match="cannot use the request queue"):
                client.submit(model_input=2)
            assert "cannot use the request queue" in (client.health().queue.error or "")
            primary.start()
            deadline = SYSTEM_CLOCK.monotonic() + SOON
            while True:
                try:
                    second = client.submit(model_input=2).request_id
                except ApiError:
                    assert SYSTEM_CLOCK.monotonic() < deadline
                    SYSTEM_CLOCK.block(0.1)
                else:
                    break
            assert outcome(client.wait(second, timeout_seconds=SOON)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
