"""predict and wake, against a real HTTP server."""

import json

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform


@pytest.fixture(autouse=True)
def url(platform: ScriptedPlatform, command_line: CommandLine) -> str:
    """The scripted platform is where the commands go."""
    command_line.set(TRUSS_ASYNC_URL=platform.url)
    return platform.url


def test_predict_prints_the_output(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/production/predict", 200, {"text": "Grüße"})
    outcome = command_line.run("predict", '{"name": "Ada"}')
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, '{"text":"Grüße"}\n', "")
    assert json.loads(platform.calls[0].body) == {"name": "Ada"}


def test_predict_writes_the_output_to_a_file(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/deployment/abc/predict", 200, [1, 2])
    outcome = command_line.run("predict", "1", "-o", "out.json", "--target", "deployment/abc")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert json.loads((command_line.folder / "out.json").read_bytes()) == [1, 2]


def test_a_model_that_fails_is_one_line(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/production/predict", 500, {"error": "Internal Server Error"})
    outcome = command_line.run("predict", "1")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line.endswith("/production/predict refused (500): Internal Server Error")


def test_the_url_of_an_endpoint_says_the_target(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("POST", "/environments/staging/predict", 200, 1)
    url = f"{platform.url}/environments/staging/async_predict"
    assert command_line.run("predict", "1", "--url", url).stdout == "1\n"


def test_wake_has_the_model_load(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/production/wake", 202, {})
    platform.answer("POST", "/development/wake", 202, {})
    assert command_line.run("wake").stdout == "woken: production\n"
    outcome = command_line.run("wake", "--target", "development", "--json")
    assert json.loads(outcome.stdout) == {"target": "development", "woken": True}
