"""submit, status and cancel, against a real HTTP server."""

import json

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform, status_answer
from truss_async.client import HarnessClient

REQUEST_ID = "ab" * 16
SUBMIT_PATH = "/production/async_predict"
STATUS_PATH = f"/async_request/{REQUEST_ID}"


@pytest.fixture(autouse=True)
def url(platform: ScriptedPlatform, command_line: CommandLine) -> str:
    """The scripted platform is where the commands go."""
    command_line.set(TRUSS_ASYNC_URL=platform.url)
    platform.answer("POST", SUBMIT_PATH, 201, {"request_id": REQUEST_ID})
    return platform.url


def sent(platform: ScriptedPlatform) -> dict[str, object]:
    content = json.loads(platform.calls[0].body)
    assert isinstance(content, dict)
    return content


def test_submit_prints_the_request_id_alone(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    outcome = command_line.run("submit", '{"page": "s3://b/ä.png"}', "--priority", "2", "--max-attempts", "5")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, REQUEST_ID + "\n", "")
    assert sent(platform) == {
        "model_input": {"page": "s3://b/ä.png"},
        "webhook_endpoint": None,
        "priority": 2,
        "max_time_in_queue_seconds": 600,
        "inference_retry_config": {"max_attempts": 5, "initial_delay_ms": 1000, "max_delay_ms": 5000},
    }


@pytest.mark.parametrize(
    ("arguments", "stdin"), [(["@input.json"], b""), (["-"], b'{"a": [1]}'), ([], b'{"a": [1]}')]
)
def test_submit_reads_files_and_pipes(
    platform: ScriptedPlatform, command_line: CommandLine, arguments: list[str], stdin: bytes
) -> None:
    (command_line.folder / "input.json").write_text('{"a": [1]}')
    assert command_line.run("submit", *arguments, stdin=stdin).code == 0
    assert sent(platform)["model_input"] == {"a": [1]}


@pytest.mark.parametrize("text", ["-5", "null", '"-"', "[]", "0.1", "12345678901234567890123"])
def test_any_json_is_a_model_input(platform: ScriptedPlatform, command_line: CommandLine, text: str) -> None:
    assert command_line.run("submit", text).code == 0
    assert sent(platform)["model_input"] == json.loads(text)


@pytest.mark.parametrize(
    ("environment", "arguments", "key"),
    [
        ({}, [], "local"),
        ({"BASETEN_API_KEY": "theirs"}, [], "theirs"),
        ({"BASETEN_API_KEY": "theirs", "TRUSS_ASYNC_API_KEY": "ours"}, [], "ours"),
        ({"TRUSS_ASYNC_API_KEY": "ours"}, ["--api-key", "given"], "given"),
        ({"TRUSS_ASYNC_API_KEY": ""}, [], "local"),
    ],
)
def test_the_key_comes_from_the_nearest_place(
    platform: ScriptedPlatform,
    command_line: CommandLine,
    environment: dict[str, str],
    arguments: list[str],
    key: str,
) -> None:
    command_line.set(**environment)
    assert command_line.run("submit", "1", *arguments).code == 0
    assert platform.calls[0].headers["authorization"] == f"Api-Key {key}"


def test_submit_goes_to_the_target(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/environments/staging/async_predict", 201, {"request_id": "staged"})
    outcome = command_line.run("submit", "1", "--target", "environments/staging", "--json")
    assert json.loads(outcome.stdout) == {"request_id": "staged"}


def test_a_reader_that_goes_away_ends_it_silently(command_line: CommandLine) -> None:
    with command_line.started("submit", "1") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def health(model: str, error: str | None = None) -> dict[str, object]:
    each = {"model": model, "replicas_ready": 0, "error": error}
    queue: dict[str, object] = {"error": None, "damaged_requests": {}, "lost_log_pages": 0, "kept_aside": []}
    return {"status": "ok", **each, "queue": queue, "deployments": {"wxyz9876": each}}


def test_submit_tells_why_the_request_waits_once(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    for status in ("QUEUED", "QUEUED", "QUEUED", "QUEUED", "SUCCEEDED"):
        platform.answer("GET", STATUS_PATH, 200, status_answer(status))
    platform.answer("GET", "/healthz", 200, health("starting"))
    platform.answer("GET", "/healthz", 200, health("starting", "nothing answers at http://x/ yet"))
    platform.answer("GET", "/healthz", 200, health("failed", "SyntaxError: invalid syntax"))
    outcome = command_line.run("submit", "1", "--wait")
    assert (outcome.code, outcome.stdout) == (0, REQUEST_ID + "\n")
    assert outcome.stderr.splitlines()[:3] == [
        f"request {REQUEST_ID} waits: the model is being loaded",
        f"request {REQUEST_ID} waits: nothing answers at http://x/ yet",
        f"request {REQUEST_ID} waits: the model does not load: SyntaxError: invalid syntax",
    ]
    assert outcome.stderr.count("waits") == 3


def test_status_tells_why_the_request_waits(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("QUEUED"))
    platform.answer("GET", "/healthz", 200, health("failed", "KeyError: 'x'"))
    outcome = command_line.run("status", REQUEST_ID)
    assert "waits       the model does not load: KeyError: 'x'\n" in outcome.stdout
    outcome = command_line.run("status", REQUEST_ID, "--json")
    assert "waits" not in json.loads(outcome.stdout)
    assert outcome.stderr == "waiting: the model does not load: KeyError: 'x'\n"


def test_ctrl_c_tells_that_the_request_goes_on(
    platform: ScriptedPlatform, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(HarnessClient, "wait", interrupt)
    outcome = command_line.run("submit", "1", "--wait")
    assert (outcome.code, outcome.stdout) == (130, REQUEST_ID + "\n")
    assert (
        outcome.error_line
        == f"interrupted: the request is still running; see: truss-async status {REQUEST_ID}"
    )


def test_submit_waits_for_success(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("QUEUED", "PENDING"))
    platform.answer("GET", STATUS_PATH, 200, status_answer("SUCCEEDED"))
    outcome = command_line.run("submit", "1", "--wait")
    assert (outcome.code, outcome.stdout) == (0, REQUEST_ID + "\n")
    assert "status      SUCCEEDED" in outcome.stderr


@pytest.mark.parametrize("status", ["FAILED", "EXPIRED", "CANCELED", "WEBHOOK_FAILED"])
def test_submit_that_waits_fails_with_the_request(
    platform: ScriptedPlatform, command_line: CommandLine, status: str
) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer(status, "FAILED"))
    outcome = command_line.run("submit", "1", "--wait", "--json")
    assert outcome.code == 1
    assert json.loads(outcome.stdout)["status"] == status


def test_submit_refused_by_the_platform_is_one_line(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("POST", "/development/async_predict", 413, {"error": "payload size of 9 bytes exceeds 1"})
    outcome = command_line.run("submit", "1", "--target", "development")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line.endswith("refused (413): payload size of 9 bytes exceeds 1")


def test_status_reads_well(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    errors = [{"code": "MODEL_PREDICT_ERROR", "message": "two\nlines\x1b[31m"}]
    platform.answer("GET", STATUS_PATH, 200, status_answer("FAILED", errors=errors))
    outcome = command_line.run("status", REQUEST_ID)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines() == [
        f"request     {REQUEST_ID}",
        "model       abcd1234",
        "deployment  wxyz9876",
        "status      FAILED",
        "webhook     SUCCEEDED",
        "created     2026-01-01 00:00:00 UTC",
        "changed     2026-01-01 00:00:01 UTC",
        "error       MODEL_PREDICT_ERROR: two lines\\u001b[31m",
    ]


def test_status_as_json_is_the_platforms_answer(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("SUCCEEDED"))
    outcome = command_line.run("status", REQUEST_ID, "--json")
    assert json.loads(outcome.stdout) == status_answer("SUCCEEDED")


def scripted_deliveries(platform: ScriptedPlatform, *answers: tuple[int | None, str | None]) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("SUCCEEDED"))
    attempts = [
        {
            "request_id": REQUEST_ID,
            "attempt": number,
            "webhook_endpoint": "https://example.com/hook",
            "sent_at": f"2026-01-01T00:00:0{number}Z",
            "latency_ms": 12.4,
            "status_code": status_code,
            "error": error,
        }
        for number, (status_code, error) in enumerate(answers, start=1)
    ]
    platform.answer("GET", f"/_harness/deliveries?request_id={REQUEST_ID}", 200, {"deliveries": attempts})


def test_status_shows_every_delivery_attempt(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    scripted_deliveries(platform, (None, "no answer\nwithin 10 s"), (200, None), (401, "fault: so"))
    outcome = command_line.run("status", REQUEST_ID, "--deliveries")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines()[-5:] == [
        "",
        "attempt  sent (UTC)              latency  answer",
        "1        2026-01-01 00:00:01       12 ms  no answer within 10 s",
        "2        2026-01-01 00:00:02       12 ms  200",
        "3        2026-01-01 00:00:03       12 ms  401, fault: so",
    ]


def test_status_says_when_nothing_was_sent(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    scripted_deliveries(platform)
    outcome = command_line.run("status", REQUEST_ID, "--deliveries")
    assert outcome.stdout.splitlines()[-1] == "no delivery attempts"


def test_status_with_deliveries_as_json_is_one_object(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    scripted_deliveries(platform, (503, None), (200, None))
    answer = json.loads(command_line.run("status", REQUEST_ID, "--deliveries", "--json").stdout)
    assert answer["status"] == "SUCCEEDED"
    assert [sent["status_code"] for sent in answer["deliveries"]] == [503, 200]


def test_the_platform_does_not_tell_deliveries(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("SUCCEEDED"))
    outcome = command_line.run("status", REQUEST_ID, "--deliveries")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line.endswith("only a harness answers there")


def test_an_unknown_request_is_one_line(command_line: CommandLine, url: str) -> None:
    outcome = command_line.run("status", "unknown")
    assert outcome.code == 1
    assert outcome.error_line.startswith(f"{url}/async_request/unknown is unknown (404: nothing here)")


def test_cancel_says_what_was_canceled(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    answer = {"request_id": REQUEST_ID, "canceled": True, "message": "done"}
    platform.answer("DELETE", STATUS_PATH, 200, answer)
    outcome = command_line.run("cancel", REQUEST_ID)
    assert (outcome.code, outcome.stdout) == (0, f"canceled {REQUEST_ID}\n")


def test_cancel_that_comes_too_late_fails(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    answer = {"request_id": REQUEST_ID, "canceled": False, "message": "it is in progress"}
    platform.answer("DELETE", STATUS_PATH, 200, answer)
    outcome = command_line.run("cancel", REQUEST_ID)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == f"request {REQUEST_ID} was not canceled: it is in progress"
    outcome = command_line.run("cancel", REQUEST_ID, "--json")
    assert (outcome.code, json.loads(outcome.stdout)) == (1, answer)
