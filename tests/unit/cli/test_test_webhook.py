"""test-webhook, as its users see it."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.endpoint.endpoints import NEW, OLD, checks_no_age, right, serving
from truss_async.endpoint.certificates import own_certificate
from truss_async.webhooks import WebhookReceiver

SECRETS = ["--webhook-secret", NEW, "--webhook-secret", OLD]


def test_a_right_endpoint_passes_and_every_row_is_shown(command_line: CommandLine) -> None:
    with serving(right) as url:
        outcome = command_line.run("test-webhook", url, *SECRETS)
    assert (outcome.code, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["ok", "good", "result", "accept", "200", lines[0].split()[-2], "ms"]
    assert lines[-1] == "12 ok"


def test_a_wrong_secret_is_told_once(command_line: CommandLine) -> None:
    with serving(right) as url:
        outcome = command_line.run("test-webhook", url, "--webhook-secret", "whsec_another")
    assert outcome.code == 1
    assert outcome.stdout.count("another secret") == 1
    assert outcome.stdout.endswith("\n\n7 failed, 5 skipped\n")
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_a_wrong_endpoint_fails_with_what_to_do(command_line: CommandLine) -> None:
    with serving(checks_no_age) as url:
        outcome = command_line.run("test-webhook", url, "--webhook-secret", NEW)
    assert outcome.code == 1
    assert "FAILED   old timestamp                    refuse   200" in outcome.stdout
    assert "it was accepted; compare `time` in the body with the current time" in outcome.stdout
    assert "skipped  old secret only                  accept\n" in outcome.stdout
    assert outcome.stdout.endswith("\n\n10 ok, 1 failed, 1 skipped\n")
    assert max(map(len, outcome.stdout.splitlines())) <= 80


@pytest.mark.parametrize("handle", [right, checks_no_age])
def test_json_is_one_document(command_line: CommandLine, handle: object) -> None:
    command_line.set(TRUSS_ASYNC_WEBHOOK_SECRETS=f"{NEW},{OLD}")
    with serving(right if handle is right else checks_no_age) as url:
        outcome = command_line.run("test-webhook", url, "--json")
    content = json.loads(outcome.stdout)
    assert (content["url"], content["passed"], outcome.code) == (
        url,
        handle is right,
        int(handle is not right),
    )
    row = content["rows"][8]
    assert (row["name"], row["expects"]) == ("old timestamp", "refuse")
    assert row["outcome"] == ("ok" if handle is right else "failed")
    assert row["attempts"][0]["status_code"] == (401 if handle is right else 200)
    assert {"latency_ms", "problem"} < set(row["attempts"][0])


def test_https_with_an_authority_of_ones_own(command_line: CommandLine, tmp_path: Path) -> None:
    made = own_certificate(tmp_path / "tls", host="127.0.0.1")
    with WebhookReceiver(secrets=(NEW,), tls=made.context) as receiver:
        arguments = ["test-webhook", receiver.url, "--webhook-secret", NEW]
        assert command_line.run(*arguments, "--webhook-ca", str(made.authority_file)).code == 0
        outcome = command_line.run(*arguments)
        assert (outcome.code, "certificate verify failed" in outcome.error_line) == (1, True)
    outcome = command_line.run(*arguments, "--webhook-ca", str(tmp_path))
    assert outcome.code == 2
    assert outcome.error_line.endswith("it must be a PEM file of certificates")


def test_nobody_there_is_one_line(command_line: CommandLine) -> None:
    with serving(right) as url:
        pass
    outcome = command_line.run("test-webhook", url, *SECRETS)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line.endswith("is the endpoint running?")


def test_without_a_secret_it_says_what_is_missing(command_line: CommandLine) -> None:
    outcome = command_line.run("test-webhook", "http://127.0.0.1:1")
    assert (outcome.code, "give --webhook-secret" in outcome.error_line) == (2, True)
