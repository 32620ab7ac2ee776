"""Several harnesses on one PostgreSQL database: what one accepted, any of them runs; and what one leaves, the others finish."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from threading import Event
from typing import Any

import pytest

from tests.integration.harness.gate import outcome
from tests.integration.harness.model_server import Answer, ModelServer, echo
from tests.postgres_server import PostgresServer, postgres_server
from truss_async.client import HarnessClient, PlatformClient
from truss_async.clock import SYSTEM_CLOCK, ManualClock
from truss_async.errors import ApiError, HarnessError
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks import WebhookReceiver

SOON = 30
Node = Callable[..., Harness]


def client(harness: Harness) -> PlatformClient:
    return PlatformClient(harness.url, api_key="any")


class Held:
    """A model that holds its calls back until it is let go."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = Event(), Event()

    def __call__(self, model_input: Any) -> Answer:
        self.has_begun.set()
        self.may_end.wait(SOON)
        return echo(model_input)


def test_each_runs_what_any_of_them_accepted_and_knows_how_it_stands(node: Node) -> None:
    held = Held()
    with ModelServer(held) as busy, ModelServer() as free, WebhookReceiver() as receiver:
        one, other = node(busy.url, concurrency_target=1), node(free.url)
        del other
        with client(one) as caller:
            ids = [
                caller.submit(model_input=number, webhook_endpoint=receiver.url).request_id
                for number in range(9)
            ]
            receiver.wait_for_count(
                8, timeout_seconds=SOON
            )  # all but the one that is held, and no lease has ended
            held.may_end.set()
            receiver.wait_for_count(9, timeout_seconds=SOON)
            assert [outcome(caller.wait(each, timeout_seconds=SOON)) for each in ids] == [
                ("SUCCEEDED", "SUCCEEDED")
            ] * 9
        assert Counter(call[0] for call in (*busy.calls, *free.calls)) == Counter(ids)
        assert free.calls


def test_what_one_that_ends_leaves_the_others_finish_at_once(node: Node) -> None:
    held = Held()
    with ModelServer(held) as hanging, ModelServer() as other_model, WebhookReceiver() as receiver:
        one = node(hanging.url)
        with client(one) as caller:
            request_id = caller.submit(model_input=1, webhook_endpoint=receiver.url).request_id
        assert held.has_begun.wait(SOON)
        other = node(other_model.url)
        one.close()
        receiver.wait_for_count(1, timeout_seconds=SOON)  # half a lease
        held.may_end.set()
        with client(other) as caller:
            assert outcome(caller.wait(request_id, timeout_seconds=SOON)) == ("SUCCEEDED", "SUCCEEDED")
        assert [call[0] for call in other_model.calls] == [request_id]


def test_all_sign_with_the_secrets_that_were_made_on_one(node: Node) -> None:
    with ModelServer() as model, ExitStack() as open_clients:
        one, other = (
            open_clients.enter_context(HarnessClient(node(model.url, lease_seconds=1).url, api_key="any"))
            for _ in range(2)
        )
        made = one.create_webhook_secret()
        deadline = SYSTEM_CLOCK.monotonic() + SOON
        while [each.id for each in other.webhook_secrets()] != [made.id]:
            assert SYSTEM_CLOCK.monotonic() < deadline
            SYSTEM_CLOCK.block(0.05)
        assert one.webhook_secrets() == other.webhook_secrets()
        other.remove_webhook_secret(made.id)
        assert other.webhook_secrets() == []


def test_another_model_under_the_same_id_is_refused_while_requests_wait(node: Node) -> None:
    held = Held()
    with ModelServer(held) as model:
        with client(node(model.url)) as caller:
            caller.submit(model_input=1)
        with pytest.raises(
            HarnessError, match=r"the id m1 in the database postgres on \S+ belongs to the model m"
        ):
            node(model.url, chain_id="m", deployment_id="m1")
        held.may_end.set()


def test_a_database_that_is_away_is_503_with_the_reason_and_work_goes_on_once_it_is_back(node: Node) -> None:
    server = PostgresServer()
    server.start()
    try:
        with (
            ModelServer() as model,
            WebhookReceiver() as receiver,
            client(node(model.url, server=server)) as caller,
        ):
            first = caller.submit(model_input=1, webhook_endpoint=receiver.url)
            receiver.wait_for_count(1, timeout_seconds=SOON)
            server.stop()
            with pytest.raises(ApiError, match="cannot use the request queue") as refused:
                caller.submit(model_input=2)
            assert refused.value.status_code == 503
            server.start()
            second = accepted(caller, webhook_endpoint=receiver.url)
            for request_id in (first.request_id, second):
                assert outcome(caller.wait(request_id, timeout_seconds=SOON)) == (
                    "SUCCEEDED",
                    "SUCCEEDED",
                )
    finally:
        server.remove()


def accepted(caller: PlatformClient, **options: Any) -> str:
    """The id of a request, once one is accepted again."""
    deadline = SYSTEM_CLOCK.monotonic() + SOON
    while True:
        try:
            return caller.submit(model_input=3, **options).request_id
        except ApiError:
            assert SYSTEM_CLOCK.monotonic() < deadline
            SYSTEM_CLOCK.block(0.1)


def test_many_callers_at_once_are_all_served_by_both(node: Node) -> None:
    with ModelServer() as model:
        nodes = [node(model.url, concurrency_target=8) for _ in range(2)]
        with ExitStack() as open_clients, ThreadPoolExecutor(8) as threads:
            callers = [open_clients.enter_context(client(each)) for each in nodes]
            ids = list(
                threads.map(
                    lambda number: callers[number % 2].submit(model_input=number).request_id, range(60)
                )
            )
            for number, request_id in enumerate(ids):  # each asked of the other than the one that accepted it
                result = callers[(number + 1) % 2].wait(request_id, timeout_seconds=SOON)
                assert result.status.value == "SUCCEEDED"
        assert Counter(call[0] for call in model.calls) == Counter(ids)


def test_the_rate_of_async_calls_is_of_all_together(node: Node) -> None:
    with ModelServer() as model, ExitStack() as open_clients:
        began = SYSTEM_CLOCK.monotonic()
        nodes = [node(model.url, async_calls_per_minute=60) for _ in range(2)]
        callers = [open_clients.enter_context(client(each)) for each in nodes]
        accepted, refused = 0, dict[PlatformClient, int | None]()
        while len(refused) < 2:
            for caller in callers:
                try:
                    caller.submit(model_input=1)
                    accepted += 1
                except ApiError as error:
                    refused[caller] = error.status_code
        seconds = SYSTEM_CLOCK.monotonic() - began
    assert 60 <= accepted <= 61 + seconds
    assert set(refused.values()) == {429}


def test_the_rates_of_the_other_calls_are_of_all_together_too(node: Node) -> None:
    limit = {"status_calls_per_second": 1, "cancel_calls_per_second": 1, "queue_status_calls_per_second": 1}
    with ModelServer() as model, ExitStack() as open_clients:
        nodes = [node(model.url, **limit) for _ in range(2)]
        callers = [open_clients.enter_context(client(each)) for each in nodes]
        calls: list[Callable[[PlatformClient], object]] = [
            lambda caller: caller.status("0" * 32),
            lambda caller: caller.cancel("0" * 32),
            lambda caller: caller.queue_status(),
        ]
        for call in calls:
            began = SYSTEM_CLOCK.monotonic()
            passed = sum(not is_limited(call, callers[number % 2]) for number in range(20))
            assert 1 <= passed <= 2 + SYSTEM_CLOCK.monotonic() - began


def is_limited(call: Callable[[PlatformClient], object], caller: PlatformClient) -> bool:
    try:
        call(caller)
    except ApiError as error:
        return error.status_code == 429
    return False


def test_a_clock_that_somebody_moves_is_refused_with_the_reason(node: Node) -> None:
    with pytest.raises(ValueError, match="uses its own clock, which cannot be moved"):
        HarnessSettings(stub="echo", state="postgresql://db/x", virtual_clock=True)
    moved = Harness(
        HarnessSettings(stub="echo", port=0, state=postgres_server().address),
        clock=ManualClock(SYSTEM_CLOCK.now()),
    )
    with pytest.raises(HarnessError, match="uses its own clock"):
        moved.start()


def test_what_is_no_database_is_one_line() -> None:
    with pytest.raises(ValueError, match="give a database URL"):
        HarnessSettings(stub="echo", state="mysql://db/x")
    away = HarnessSettings(stub="echo", port=0, state="postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(
        HarnessError, match=r"cannot use the request queue: connection failed: .*127\.0\.0\.1"
    ):
        Harness(away, stories=False).start()
