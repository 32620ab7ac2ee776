"""The harness as an object: requests in the hands of a test."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.integration.harness.conftest import SECRET
from truss_async import Harness, HarnessSettings, PlatformClient
from truss_async.errors import ApiError, HarnessError, SettingsError
from truss_async.replicas.settings import DeploymentSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from truss_async.webhooks.receiver import WebhookReceiver

DEADLINE_SECONDS = 30


def echo(model_input: Any) -> Any:
    return model_input


class FailsAtFirst:
    def __init__(self) -> None:
        self.calls = 0

    def predict(self, model_input: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            raise ValueError("not yet")
        return model_input


class Gated:
    """Holds every request until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def predict(self, model_input: Any) -> Any:
        self.entered.set()
        assert self.opened.wait(DEADLINE_SECONDS)
        return model_input


@contextmanager
def running(model: Any = echo, **options: Any) -> Iterator[Harness]:
    settings = HarnessSettings(**{"model": model, "port": 0, "virtual_clock": True, **options})
    with Harness(settings, report=lambda line: None, log=lambda line: None) as harness:
        harness.wait_ready(timeout_seconds=DEADLINE_SECONDS)
        yield harness


def test_a_request_is_accepted_while_dispatch_is_paused_and_runs_when_it_resumes() -> None:
    with running() as harness:
        harness.pause()
        late, first = harness.submit("late", priority=2), harness.submit("first")
        assert (late.status, first.status) == ("QUEUED", "QUEUED")
        with pytest.raises(
            HarnessError, match=r"the harness is paused: resume\(\) it first\n\nasync request"
        ):
            late.wait()
        harness.resume()
        assert (late.wait(), first.wait()) == ("SUCCEEDED", "SUCCEEDED")
        assert repr(late) == f"<async request {late.request_id}: SUCCEEDED>"


def test_a_handle_remembers_what_the_platform_has_forgotten() -> None:
    with running() as harness:
        harness.pause()
        request = harness.submit({}, max_time_in_queue_seconds=60)
        harness.clock.advance(hours=72)
        assert request.status == "EXPIRED"
        assert request.wait() == "EXPIRED"


def test_waiting_lets_time_pass_to_the_next_inference_attempt_and_delivery(
    receiver: WebhookReceiver,
) -> None:
    with running(FailsAtFirst, webhook_secrets=(SECRET,)) as harness:
        receiver.answer_next(503)
        before = harness.clock.now()
        request = harness.submit("it", webhook_endpoint=receiver.url)
        assert request.wait(timeout_seconds=DEADLINE_SECONDS) == "SUCCEEDED"
        assert (harness.clock.now() - before).total_seconds() == 1 + 2
        assert [attempt.status_code for attempt in harness.deliveries] == [503, 200]


def test_waiting_works_in_real_time() -> None:
    config = {"max_attempts": 2, "initial_delay_ms": 1}
    with running(FailsAtFirst, virtual_clock=False) as harness:
        request = harness.submit("it", inference_retry_config=config)
        assert request.wait(timeout_seconds=DEADLINE_SECONDS) == "SUCCEEDED"
        assert request.errors == []


def test_waiting_ends_with_the_story() -> None:
    model = Gated()
    with running(model) as harness:
        request = harness.submit("it")
        with pytest.raises(HarnessError, match=r"not finished within 0\.01 s\n\nasync request .*: [A-Z_]+\n"):
            request.wait(timeout_seconds=0.01)
        model.opened.set()
        assert request.wait(timeout_seconds=DEADLINE_SECONDS) == "SUCCEEDED"


def test_only_a_queued_request_can_be_cancelled() -> None:
    with running() as harness:
        harness.pause()
        request = harness.submit({})
        assert (request.cancel(), request.cancel()) == (True, False)
        assert request.status == "CANCELED"
        assert request.is_over


def test_a_refusal_is_that_of_the_api() -> None:
    with running(max_open_requests=1, api_key="own") as harness:
        harness.pause()
        with pytest.raises(ApiError, match=r"max_time_in_queue_seconds: .* 10") as refused:
            harness.submit({}, max_time_in_queue_seconds=9)
        assert refused.value.status_code == 400
        harness.submit({})
        with pytest.raises(ApiError) as refused:
            harness.submit({})
        assert refused.value.status_code == 429


@pytest.mark.parametrize("chain_id", [None, "c1"])
def test_a_deployment_can_be_named(chain_id: str | None) -> None:
    deployments = [
        DeploymentSettings(model=echo, deployment_id="a", chain_id=chain_id),
        DeploymentSettings(model=echo, deployment_id="b", chain_id=chain_id, environment="staging"),
    ]
    with running(None, deployments=deployments) as harness:
        handles = [harness.submit({}), harness.submit({}, deployment_id="b")]
        assert [" of a:" in handles[0].story, " of b:" in handles[1].story] == [True, True]
        with pytest.raises(HarnessError, match="there is no deployment c"):
            harness.submit({}, deployment_id="c")
        assert {handle.wait() for handle in handles} == {"SUCCEEDED"}


def test_requests_of_other_callers_are_told_of_too() -> None:
    with running() as harness, PlatformClient(harness.url, api_key="any") as client:
        accepted = client.submit(model_input={})
        (request,) = harness.requests
        assert request.request_id == accepted.request_id
        assert request.wait() == "SUCCEEDED"


def test_problems_are_found_unless_they_are_allowed(receiver: WebhookReceiver) -> None:
    with running(FailsAtFirst) as harness:
        assert harness.problems() == []
        receiver.answer_next(410)
        harness.submit({}, webhook_endpoint=receiver.url).wait()
        harness.pause()
        harness.submit({})
        assert [problem.kind for problem in harness.problems()] == [
            "model_errors",
            "webhook_failures",
            "unfinished_requests",
        ]
        harness.allow("model_errors", "unfinished_requests")
        assert [problem.kind for problem in harness.problems()] == ["webhook_failures"]
        with pytest.raises(SettingsError, match="there is no problem 'errors'; did you mean 'model_errors'"):
            harness.allow(cast("Any", "errors"))


def test_what_is_still_worked_on_is_awaited_before_it_is_a_problem() -> None:
    model = Gated()
    with running(model) as harness:
        harness.submit({})
        assert model.entered.wait(DEADLINE_SECONDS)
        assert [problem.kind for problem in harness.problems(patience_seconds=0)] == ["unfinished_requests"]
        opening = threading.Timer(0.05, model.opened.set)
        opening.start()
        assert harness.problems(patience_seconds=DEADLINE_SECONDS) == []
        opening.join()


def test_a_model_that_does_not_load_is_told_of_at_once() -> None:
    class Broken:
        def load(self) -> None:
            raise OSError("no weights")

        def predict(self) -> None:
            """Never called."""

    with pytest.raises(HarnessError, match="the model does not load: OSError: no weights"), running(Broken):
        pass


def test_a_model_that_loads_for_too_long_is_told_of() -> None:
    settings = HarnessSettings(model_url="http://127.0.0.1:9", port=0)
    with (
        Harness(settings, report=lambda line: None) as harness,
        pytest.raises(HarnessError, match=r"the model is not loaded after 0\.01 s"),
    ):
        harness.wait_ready(timeout_seconds=0.01)


@pytest.mark.parametrize("use", [lambda h: h.submit({}), lambda h: h.pause(), lambda h: h.deliveries])
def test_a_harness_that_does_not_run_says_so(use: Callable[[Harness], Any]) -> None:
    harness = Harness(HarnessSettings(model=echo, port=0), report=lambda line: None)
    with pytest.raises(HarnessError, match="the harness is not started"):
        use(harness)
    with harness:
        harness.wait_ready()
    with pytest.raises(HarnessError, match="the harness is not running"):
        use(harness)


def test_a_harness_without_stories_says_so() -> None:
    with (
        Harness(HarnessSettings(model=echo, port=0), report=lambda line: None, stories=False) as harness,
        pytest.raises(HarnessError, match="keeps no stories"),
    ):
        harness.problems()
