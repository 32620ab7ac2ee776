"""queue, and submit-again, against a real HTTP server."""

import json

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform

OLD, NEW = "ab" * 16, "cd" * 16
OLDEST = {
    "request_id": OLD, "deployment_id": "d1", "status": "QUEUED", "created_at": "2026-01-01T00:00:00Z", "age_seconds": 4711.2,
}  # fmt: skip
LIMITS = [
    {"what": "open requests", "used": 12345, "limit": 50000},
    {"what": "async calls a minute", "used": 0, "limit": 12000},
]


@pytest.fixture(autouse=True)
def url(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    """The scripted platform is where the commands go."""
    command_line.set(TRUSS_ASYNC_URL=platform.url)


def state(*, is_paused: bool = False, **more: object) -> dict[str, object]:
    deployment = {
        "deployment_id": "d1", "path": "/d1", "model": "ready", "replicas_ready": 1, "queued": 7, "in_progress": 2,
    }  # fmt: skip
    return {"is_paused": is_paused, "deployments": [deployment], **more}


def test_queue_tells_the_oldest_open_request_and_the_limits_that_are_used(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("GET", "/_harness/queue", 200, state(oldest_open=OLDEST, limits=LIMITS))
    lines = command_line.run("queue").stdout.splitlines()
    assert lines[1].split() == ["d1", "7", "2", "ready"]
    assert lines[2:] == [
        "",
        f"oldest open request: {OLD}, QUEUED, for 4,711 s",
        "limits used: 12,345 of 50,000 open requests",
    ]


def test_queue_says_nothing_of_what_there_is_not(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("GET", "/_harness/queue", 200, state(is_paused=True, limits=LIMITS[1:]))
    lines = command_line.run("queue").stdout.splitlines()
    assert len(lines) == 3
    assert lines[0] == "the queue is paused; to resume it: truss-async queue resume"


def test_queue_as_json_has_all_of_it(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", "/_harness/queue", 200, state(oldest_open=OLDEST, limits=LIMITS))
    told = json.loads(command_line.run("queue", "--json").stdout)
    assert told["oldest_open"]["age_seconds"] == 4711.2
    assert [each["used"] for each in told["limits"]] == [12345, 0]


@pytest.mark.parametrize(
    ("options", "expected"), [([], NEW), (["--json"], json.dumps({"request_id": NEW}, separators=(",", ":")))]
)
def test_submit_again_prints_the_new_id(
    platform: ScriptedPlatform, command_line: CommandLine, options: list[str], expected: str
) -> None:
    platform.answer("POST", f"/_harness/requests/{OLD[:8]}/again", 201, {"request_id": NEW})
    outcome = command_line.run("submit-again", OLD[:8], *options)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"{expected}\n", "")


def test_submit_again_says_when_the_input_is_not_kept(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    why = f"the input of request {OLD} is not kept"
    platform.answer("POST", f"/_harness/requests/{OLD}/again", 404, {"error": why})
    outcome = command_line.run("submit-again", OLD)
    assert outcome.code == 1
    assert why in outcome.error_line
