"""What a harness shows of its requests, over HTTP, by its client and by its commands."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from tests.integration.harness.gate import Gate
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.cli.requests import StatusName
from truss_async.cli.running import run
from truss_async.client import HarnessClient
from truss_async.contract import InferenceRetryConfig, RequestStatus
from truss_async.errors import ApiError
from truss_async.harness.harness import Harness
from truss_async.webhooks.receiver import WebhookReceiver

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def caller(harness: Harness) -> Iterator[HarnessClient]:
    with HarnessClient(harness.url, api_key="any") as client:
        yield client


@pytest.fixture
def command(harness: Harness, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command against the harness: its exit code, what it printed, and its error."""

    def run_command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([*arguments, "--url", harness.url])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run_command


def submitted(caller: HarnessClient, count: int = 1) -> list[str]:
    """Ids of requests that are over."""
    ids = [caller.submit(model_input=number).request_id for number in range(count)]
    for request_id in ids:
        caller.wait(request_id, timeout_seconds=30)
    return ids


def test_a_list_goes_page_by_page_and_has_the_counts(caller: HarnessClient) -> None:
    ids = submitted(caller, 3)
    first = caller.requests(limit=2)
    assert [each.request_id for each in first.requests] == [ids[2], ids[1]]
    assert first.counts["SUCCEEDED"] == 3
    assert first.counts["FAILED"] == 0
    second = caller.requests(limit=2, after=first.next)
    assert ([each.request_id for each in second.requests], second.next) == ([ids[0]], None)
    (only,) = second.requests
    assert only.status is RequestStatus.SUCCEEDED
    assert only.queue_seconds is not None
    assert only.model_seconds is not None


def test_a_list_is_of_a_status_a_deployment_and_a_time(caller: HarnessClient, gate: Gate) -> None:
    running = caller.submit(model_input=1).request_id
    assert gate.entered.acquire(timeout=30)
    queued = caller.submit(model_input=2).request_id

    def found(**which: Any) -> list[str]:
        return [each.request_id for each in caller.requests(**which).requests]

    assert found(status="QUEUED") == [queued]
    assert found(status="IN_PROGRESS", deployment=caller.health().deployments.popitem()[0]) == [running]
    assert found(deployment="another") == []
    assert found(since="1h") == [queued, running]
    assert found(since="2999-01-01T00:00Z") == []
    assert found(id_prefix=running[:8]) == [running]
    assert found(id_prefix=running[:8], status="QUEUED") == []


def test_the_queue_tells_its_oldest_request_and_what_of_the_limits_is_used(
    caller: HarnessClient, gate: Gate
) -> None:
    before = caller.queue()
    assert before.oldest_open is None
    oldest = caller.submit(model_input=1).request_id
    assert gate.entered.acquire(timeout=30)
    caller.submit(model_input=2)
    state = caller.queue()
    assert state.oldest_open is not None
    assert (state.oldest_open.request_id, state.oldest_open.status) == (oldest, "IN_PROGRESS")
    assert state.oldest_open.age_seconds >= 0
    used = {each.what: (each.used, each.limit) for each in state.limits}
    assert used["open requests"] == (2, 50_000)
    assert used["async calls a minute"][1] == 12_000


@pytest.mark.parametrize("query", ["status=DONE", "limit=0", "limit=1001", "after=x", "since=yesterday"])
def test_a_list_that_cannot_be_is_400_and_told_why(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/_harness/requests?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{query.partition('=')[0]}: ")


def test_a_view_has_the_story_the_deliveries_and_the_signatures_verdict(
    caller: HarnessClient, receiver: WebhookReceiver
) -> None:
    request_id = caller.submit(model_input=1, webhook_endpoint=receiver.url).request_id
    caller.wait(request_id, timeout_seconds=30)
    view = caller.request_view(request_id[:8])
    assert view.request.request_id == request_id
    assert [sent.signature for sent in view.deliveries] == ["valid"]
    told = [entry.what for entry in view.story]
    assert told[0] == "accepted with priority 0"
    assert told[1].startswith("left the queue after ")
    assert told[2].startswith("inference succeeded after 1 attempt in ")
    assert told[3].startswith("webhook attempt 1: answered 200 (")


def test_an_id_is_meant_by_its_first_characters(caller: HarnessClient) -> None:
    (request_id,) = submitted(caller)
    assert caller.full_id(request_id[:6]) == request_id
    assert caller.full_id(request_id) == request_id
    assert caller.full_id(request_id[:5]) == request_id[:5]  # too short to mean one
    assert caller.full_id("zzzzzzz") == "zzzzzzz"


def test_several_that_begin_so_are_named(
    caller: HarnessClient, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = map("abcdef{:026}".format, itertools.count())
    with monkeypatch.context() as patch:
        patch.setattr("truss_async.harness.api.app.new_request_id", lambda: next(ids))
        one, other = submitted(caller, 2)
    with pytest.raises(ApiError, match=f"several requests begin with abcdef: {one}, {other}"):
        caller.full_id("abcdef")
    code, out, error = command("status", "abcdef")
    assert (code, out) == (1, "")
    assert one in error
    assert other in error


def test_status_and_cancel_take_the_first_characters(
    caller: HarnessClient, command: Command, gate: Gate
) -> None:
    caller.submit(model_input=1)
    assert gate.entered.acquire(timeout=30)
    request_id = caller.submit(model_input=2).request_id
    code, out, _ = command("status", request_id[:7], "--json")
    assert (code, json.loads(out)["request_id"]) == (0, request_id)
    assert command("cancel", request_id[:7])[:2] == (0, f"canceled {request_id}\n")


def test_the_list_is_printed(caller: HarnessClient, command: Command) -> None:
    assert command("requests")[1] == "no requests\n"
    (request_id,) = submitted(caller)
    code, out, _ = command("requests")
    assert code == 0
    assert out.startswith("1 SUCCEEDED\n")
    assert out.splitlines()[-1].startswith(request_id)
    assert json.loads(command("requests", "--json", "--status", "FAILED")[1])["requests"] == []
    code, _, error = command("requests", "--since", "soon")
    assert (code, "neither a duration" in error) == (1, True)


def test_a_failure_is_listed_with_its_code(
    caller: HarnessClient, command: Command, model: ModelServer
) -> None:
    model.behave = lambda _: Answer(400, b"{}")
    retries = InferenceRetryConfig(max_attempts=1)
    request_id = caller.submit(model_input=1, inference_retry_config=retries).request_id
    caller.wait(request_id, timeout_seconds=30)
    code, out, _ = command("requests", "--status", "FAILED")
    assert code == 0
    assert out.splitlines()[-1].endswith("NO_WEBHOOK_PROVIDED  MODEL_NOT_READY")
    assert command("requests", "--status", "DONE")[0] == 2


def test_every_status_can_be_asked_for(command: Command) -> None:
    assert set(get_args(StatusName)) == {status.value for status in RequestStatus}
    for status in RequestStatus:
        assert command("requests", "--status", status.value)[0] == 0


def test_a_request_is_shown_whole(caller: HarnessClient, command: Command, tmp_path: Path) -> None:
    (request_id,) = submitted(caller)
    folder = tmp_path / "outputs"
    folder.mkdir()
    code, out, _ = command("show", request_id[:8], "--store", folder.as_uri())
    assert code == 0
    assert "status      SUCCEEDED" in out
    assert "accepted with priority" in out
    assert out.splitlines()[-1].startswith("saved: ")
    assert f"{request_id}.json" in out.splitlines()[-1]
    result = {"request_id": request_id, "time": "2026-01-01T00:00:00Z", "data": [1], "errors": []}
    (folder / f"{request_id}.json").write_text(json.dumps({"type": "async_request_completed", **result}))
    shown = json.loads(command("show", request_id, "--store", folder.as_uri(), "--json")[1])
    assert shown["saved"]["result"]["data"] == [1]
    assert shown["request"]["request_id"] == request_id


def test_an_unknown_request_is_exit_1(command: Command) -> None:
    code, out, error = command("show", "ab" * 16)
    assert (code, out) == (1, "")
    assert "unknown async request" in error


def test_the_queue_is_paused_and_resumed(caller: HarnessClient, command: Command) -> None:
    code, out, _ = command("queue", "pause")
    assert code == 0
    assert "the queue is paused" in out
    request_id = caller.submit(model_input=1).request_id
    state = json.loads(command("queue", "--json")[1])
    assert (state["is_paused"], state["deployments"][0]["queued"]) == (True, 1)
    assert "paused" not in command("queue", "resume")[1]
    assert caller.wait(request_id, timeout_seconds=30).status is RequestStatus.SUCCEEDED


def test_the_clock_is_shown_and_advanced(
    serve: Callable[..., Harness], capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(virtual_clock=True).url
    with HarnessClient(url, api_key="any") as caller:
        before = caller.read_clock()
        assert run(["clock", "advance", "1h", "--url", url]) == 0
        assert (caller.read_clock() - before).total_seconds() == 3600
    assert run(["clock", "--url", url, "--json"]) == 0
    assert "now" in json.loads(capsys.readouterr().out.splitlines()[-1])
    assert run(["clock", "advance", "soon", "--url", url]) == 2


def test_the_clock_of_a_harness_in_real_time_does_not_move(command: Command) -> None:
    code, _, error = command("clock", "advance", "1h")
    assert (code, "--virtual-clock" in error) == (1, True)


def test_faults_are_set_listed_and_cleared(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text('[[fault]]\nkind = "webhook_dropped"\nattempt = 1\n')
    assert command("faults", "list")[1] == "no faults\n"
    assert "webhook_dropped" in command("faults", "add", str(file))[1]
    assert json.loads(command("faults", "list", "--json")[1])["faults"][0]["struck"] == 0
    assert command("faults", "clear")[:2] == (0, "all faults removed\n")
    assert command("faults", "list")[1] == "no faults\n"
