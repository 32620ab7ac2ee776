"""A stub in the model's place: async and sync calls, time, failures, several replicas, and outputs that are saved."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.integration.harness.conftest import SECRET
from truss_async import Harness, HarnessSettings, OutputStore
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.contract.statuses import RequestStatus
from truss_async.errors import HarnessError
from truss_async.harness.deployments_file import read_deployments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from truss_async.webhooks.receiver import WebhookReceiver

DEADLINE_SECONDS = 30
KEY = {"Authorization": "Api-Key any"}


@contextmanager
def stubbed(stub: Any, *, reports: list[str] | None = None, **options: Any) -> Iterator[Harness]:
    settings = HarnessSettings(
        **{"stub": stub, "port": 0, "virtual_clock": True, "webhook_secrets": [SECRET], **options}
    )
    report = (lambda line: None) if reports is None else reports.append
    with Harness(settings, report=report, log=lambda line: None) as harness:
        harness.wait_ready(timeout_seconds=DEADLINE_SECONDS)
        yield harness


def test_a_stub_answers_sync_and_async_calls_with_a_webhook(receiver: WebhookReceiver) -> None:
    with stubbed("echo") as harness:
        request = harness.submit({"page": 1}, webhook_endpoint=receiver.url)
        assert request.wait() == "SUCCEEDED"
        answer = httpx.post(f"{harness.url}/production/predict", json={"page": 2}, headers=KEY)
        assert answer.json() == {"page": 2}
        metrics = httpx.get(f"{harness.url}/metrics").text
    [delivery] = receiver.deliveries
    assert json.loads(delivery.body)["data"] == {"page": 1}
    assert 'is_async="true"' in metrics
    assert 'is_async="false"' in metrics


def test_latency_passes_on_the_harness_s_clock_and_no_real_time_for_it() -> None:
    with stubbed(7, latency_seconds="2m") as harness:
        requests = [harness.submit({}) for _ in range(2)]
        harness.clock.advance(seconds=119)
        assert [each.status for each in requests] == ["IN_PROGRESS", "QUEUED"]
        harness.clock.advance(seconds=1)
        assert [each.status for each in requests] == ["SUCCEEDED", "IN_PROGRESS"]
        began = harness.clock.now()
        assert requests[1].wait() == "SUCCEEDED"
        assert (harness.clock.now() - began).total_seconds() == 120


def test_a_latency_over_the_platform_s_hour_is_a_timeout() -> None:
    with stubbed(7, latency_seconds="2h") as harness:
        request = harness.submit({}, inference_retry_config={"max_attempts": 1})
        harness.clock.advance(hours=1)
        assert (request.status, request.errors[0].code) == ("FAILED", "MODEL_PREDICT_TIMEOUT")


def test_a_sync_call_waits_for_the_clock_too() -> None:
    with stubbed(7, latency_seconds=5) as harness:
        answers: list[httpx.Response] = []
        calling = threading.Thread(
            target=lambda: answers.append(
                httpx.post(
                    f"{harness.url}/production/predict", json={}, headers=KEY, timeout=DEADLINE_SECONDS
                )
            )
        )
        calling.start()
        while calling.is_alive():  # the call may come after the first step
            harness.clock.advance(seconds=5)
            calling.join(0.05)
        assert answers[0].json() == 7


def failed_calls(seed: int, **options: Any) -> list[str]:
    reports: list[str] = []
    with stubbed({}, fail_rate=0.4, fail_seed=seed, reports=reports, **options) as harness:
        harness.allow("model_errors")
        once = {"max_attempts": 1}
        statuses = [harness.submit(n, inference_retry_config=once).wait().value for n in range(20)]
        assert harness.problems() == []
    told = f"model stub is a stub: it always answers the same and fails 0.4 of its calls, drawn from the seed {seed}"
    assert told in reports
    return statuses


def test_two_runs_from_one_seed_fail_alike_and_say_their_seed() -> None:
    first = failed_calls(3)
    assert first == failed_calls(3)
    assert {"SUCCEEDED", "FAILED"} == set(first)
    assert first != failed_calls(4)


def test_a_drawn_failure_is_a_model_s_and_tells_itself() -> None:
    with stubbed({}, fail_rate=1) as harness:
        request = harness.submit({})
        assert request.wait() == "FAILED"
        assert request.errors[0].code == "MODEL_PREDICT_ERROR"
        [problem] = harness.problems()
        assert "StubFailureError: call 3 of the stub fails: a rate of 1, seed 0" in problem.message
        assert "File " not in request.story


def test_an_input_that_no_line_has_is_422(tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text('{"input": {"page": 1}, "output": "one"}\n')
    with stubbed(file) as harness:
        assert harness.submit({"page": 1.0}).wait() == "SUCCEEDED"
        request = harness.submit({"page": 2})
        assert request.wait() == "FAILED"
        [error] = request.errors
        assert error.code == "MODEL_INVALID_INPUT"
        assert error.message == f"the stub has no answer for this input; add it to the 1 in {file}"


def test_slots_replicas_faults_and_cancels_work_as_with_a_model() -> None:
    fault = FaultRule(kind=FaultKind.MODEL_500, nth=1, attempt=1)
    with stubbed(1, latency_seconds=10, replicas=2, predict_concurrency=2, faults=[fault]) as harness:
        requests = [harness.submit(n) for n in range(6)]
        harness.clock.advance(seconds=1)
        statuses = [each.status for each in requests]
        assert statuses.count(RequestStatus.IN_PROGRESS) == 5  # one is struck, and waits for its retry
        assert requests[5].cancel()
        assert [each.wait() for each in requests[:5]] == ["SUCCEEDED"] * 5
        assert requests[5].status == "CANCELED"


TRUSS = """
model_name: Large
docker_server: {start_command: serve, server_port: 8000, predict_endpoint: /v1, readiness_endpoint: /, liveness_endpoint: /}
resources: {accelerator: H100:8}
runtime: {predict_concurrency: 3}
model_metadata:
  async_output: {url: "%s"}
"""


def test_in_the_place_of_a_truss_that_cannot_be_served_outputs_and_errors_are_saved(
    tmp_path: Path, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUSS_ASYNC_OUTPUT_URL", raising=False)
    store = OutputStore.from_url((tmp_path / "outputs").as_uri())
    (tmp_path / "config.yaml").write_text(TRUSS % store.url)
    (tmp_path / "answers.jsonl").write_text('{"input": 1, "output": {"text": "one"}}\n')
    with stubbed(tmp_path / "answers.jsonl", truss_dir=tmp_path, latency_seconds=1) as harness:
        requests = [harness.submit(n, webhook_endpoint=receiver.url) for n in (1, 1, 1, 2)]
        harness.clock.advance()
        assert [each.status for each in requests] == ["IN_PROGRESS"] * 3 + ["QUEUED"]
        assert [each.wait() for each in requests] == ["SUCCEEDED"] * 3 + ["FAILED"]
    assert store.get(requests[0].request_id).data == {"text": "one"}
    [failed] = (tmp_path / "outputs").glob("*.error.json")
    assert json.loads(failed.read_bytes())["errors"][0]["code"] == "MODEL_INVALID_INPUT"
    assert [json.loads(each.body)["data"] for each in receiver.deliveries].count({"text": "one"}) == 3


def test_a_variable_says_where_a_stub_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", tmp_path.as_uri())
    with stubbed({"text": "x"}) as harness:
        request = harness.submit({})
        assert request.wait() == "SUCCEEDED"
    assert OutputStore.from_url(tmp_path.as_uri()).get(request.request_id).data == {"text": "x"}


def test_a_file_of_deployments_has_stubs(tmp_path: Path) -> None:
    (tmp_path / "answers.jsonl").write_text('{"input": 1, "output": "one"}\n')
    (tmp_path / "d.toml").write_text(
        '[[deployment]]\nmodel_id = "a"\nstub = "answers.jsonl"\n'
        '[[deployment]]\nmodel_id = "b"\nstub = {text = "x"}\nlatency_seconds = "1s"\n'
    )
    deployments = read_deployments(tmp_path / "d.toml", {})
    with stubbed(None, deployments=deployments, virtual_clock=False) as harness:
        answers = [
            httpx.post(f"{harness.url}/model/{model}/production/predict", json=1, headers=KEY).json()
            for model in ("a", "b")
        ]
    assert answers == ["one", {"text": "x"}]


def test_what_was_accepted_for_a_model_is_answered_by_a_stub_only_when_asked_to(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with stubbed(None, model=len, model_id="m", state_dir=state) as harness:
        harness.pause()
        request_id = harness.submit([1, 2]).request_id
    with pytest.raises(
        HarnessError, match=r"the model m from builtins\.len, with 1 request not over.*--adopt"
    ):
        Harness(HarnessSettings(stub=7, model_id="m", state_dir=state, port=0)).start()
    reports: list[str] = []
    with stubbed(7, model_id="m", state_dir=state, adopt=True, reports=reports) as harness:
        harness.clock.advance()
        status = httpx.get(f"{harness.url}/async_request/{request_id}", headers=KEY).json()["status"]
        assert status == "SUCCEEDED"
    assert (
        "1 request of an earlier run, for the model m from builtins.len, goes on with the model m from a stub"
        in reports
    )


def test_a_stub_is_not_reloaded_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model_name: Large\n")
    reports: list[str] = []
    with stubbed("echo", truss_dir=tmp_path, model_id="large", reload=True, reports=reports):
        pass
    assert "a stub is not reloaded; restart the harness to change the answers of model large" in reports


def test_a_stub_saves_where_the_environment_of_the_replicas_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRUSS_ASYNC_OUTPUT_URL", raising=False)
    settings = HarnessSettings(stub={"text": "x"}, port=0, virtual_clock=True)
    with Harness(settings, environment={"TRUSS_ASYNC_OUTPUT_URL": tmp_path.as_uri()}) as harness:
        request = harness.submit({})
        assert request.wait() == "SUCCEEDED"
    assert OutputStore.from_url(tmp_path.as_uri()).get(request.request_id).data == {"text": "x"}
