import json

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform

SECRET = "whsec_" + "a1B2" * 9 + "zz"
OLD = {
    "id": "0123456789ab",
    "masked": "whsec_…wxyz",
    "created_at": "2026-01-01T00:00:00Z",
    "ends_at": "2026-01-02T00:00:00Z",
    "is_persisted": True,
}
NEW = {"id": "ba9876543210", "secret": SECRET, "created_at": "2026-01-01T00:00:00Z"}


@pytest.fixture(autouse=True)
def url(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    command_line.set(TRUSS_ASYNC_URL=platform.url)


def test_the_list_is_a_table(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", "/_harness/secrets", 200, {"secrets": [{**OLD, "ends_at": None}, OLD]})
    outcome = command_line.run("secrets", "list")
    assert (outcome.code, outcome.stdout.splitlines()) == (
        0,
        [
            "id            secret        created (UTC)        ends (UTC)",
            "0123456789ab  whsec_…wxyz   2026-01-01 00:00:00  -",
            "0123456789ab  whsec_…wxyz   2026-01-01 00:00:00  2026-01-02 00:00:00",
        ],
    )
    assert json.loads(command_line.run("secrets", "list", "--json").stdout)["secrets"][1] == OLD


def test_an_empty_list_says_so(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", "/_harness/secrets", 200, {"secrets": []})
    assert command_line.run("secrets", "list").stdout == "no webhook secrets: webhooks are not signed\n"


def test_create_shows_the_secret(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("POST", "/_harness/secrets", 201, NEW)
    outcome = command_line.run("secrets", "create")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert outcome.stdout.splitlines()[:2] == ["id      ba9876543210", f"secret  {SECRET}"]
    assert json.loads(command_line.run("secrets", "create", "--json").stdout) == NEW


def test_rotate_shows_the_new_one_and_the_end_of_the_old_one(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("POST", "/_harness/secrets/0123456789ab/rotate", 201, {**NEW, "replaces": OLD})
    lines = command_line.run("secrets", "rotate", "0123456789ab").stdout.splitlines()
    assert lines[1] == f"secret  {SECRET}"
    assert lines[-1] == "0123456789ab signs until 2026-01-02 00:00:00 UTC"


def test_remove_says_what_is_gone(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("DELETE", "/_harness/secrets/0123456789ab", 200, {"id": "0123456789ab"})
    assert command_line.run("secrets", "remove", "0123456789ab").stdout == "removed 0123456789ab\n"
    outcome = command_line.run("secrets", "remove", "0123456789ab", "--json")
    assert json.loads(outcome.stdout) == {"id": "0123456789ab"}


@pytest.mark.parametrize(
    "arguments", [[], ["rotate"], ["remove"], ["list", "x"], ["create", "x"], ["invent"]]
)
def test_called_wrongly_it_is_one_line(command_line: CommandLine, arguments: list[str]) -> None:
    outcome = command_line.run("secrets", *arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.error_line


def test_an_unknown_secret_is_one_line(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("DELETE", "/_harness/secrets/x", 404, {"error": "there is no active webhook secret x"})
    outcome = command_line.run("secrets", "remove", "x")
    assert outcome.code == 1
    assert "there is no active webhook secret x" in outcome.error_line
