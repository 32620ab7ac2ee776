"""The variables of options, by the parser itself."""

from collections import defaultdict

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.cli.parsed_commands import commands
from tests.unit.client.scripted_platform import ScriptedPlatform, status_answer

ALIKE = {
    *("api_key", "api_key_file", "url", "webhook_secret", "webhook_secrets", "webhook_secret_file"),
    *(
        "store",
        "cache_dir",
        "durability",
        "target",
        "priority",
        "webhook_endpoint",
        "max_time_in_queue_seconds",
    ),
    *("cancel_on_interrupt", "no_progress", "wake", "out"),
    *("inbox", "since", "to"),
    *(
        "output_url",
        "output_key",
        "output_format",
        "output_model_id",
        "output_deployment_id",
        "output_environment",
    ),
}
"""Words that mean the same wherever they are, so that one variable may set them all."""


def test_a_variable_without_a_command_means_one_thing() -> None:
    users = defaultdict(set)
    for command in commands():
        for argument in command.arguments:
            for name in argument.parameter.env_var or ():
                word = name.removeprefix("TRUSS_ASYNC_").lower()
                if not word.startswith(f"{command.path[0]}_"):
                    users[word].add(
                        str(command).replace("doctor", "serve")
                    )  # it looks at what serve would do
    shared = {name for name, found in users.items() if len(found) > 1} - ALIKE - {"baseten_api_key"}
    assert shared == set(), 'name these with own_option("COMMAND_OPTION", …)'
    assert users["port"] == users["host"] == {"serve"}


@pytest.mark.parametrize(
    ("command", "name", "value", "said"),
    [
        (
            "listen",
            "TRUSS_ASYNC_LISTEN_PORT",
            "99999",
            "cannot listen on 127.0.0.1:99999: a port is 0 to 65535",
        ),
        ("serve x", "TRUSS_ASYNC_SERVE_PORT", "99999", "--port: input should be less"),
        ("serve x", "TRUSS_ASYNC_PORT", "99999", "--port: input should be less"),
        ("status abc", "TRUSS_ASYNC_STATUS_URL", "nonsense", "'nonsense' is not the URL of a model"),
        ("queue pause", "TRUSS_ASYNC_QUEUE_PAUSE_URL", "nonsense", "'nonsense' is not the URL of a model"),
        ("results list --store memory://x", "TRUSS_ASYNC_RESULTS_LIST_SINCE", "5w", "--since: '5w'"),
        (
            "test-webhook http://127.0.0.1:1 --webhook-secret whsec_abc",
            "TRUSS_ASYNC_TEST_WEBHOOK_WEBHOOK_CA",
            "absent.pem",
            "absent.pem",
        ),
    ],
)
def test_a_variable_may_name_the_command(
    command_line: CommandLine, command: str, name: str, value: str, said: str
) -> None:
    command_line.set(**{name: value})
    outcome = command_line.run(*command.split())
    assert outcome.code > 0
    assert said in outcome.error_line


def test_what_names_the_command_goes_before_what_does_not_and_after_what_is_given(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    platform.answer("GET", "/async_request/one", 200, status_answer("QUEUED"))
    nowhere = "http://127.0.0.1:1"
    command_line.set(TRUSS_ASYNC_URL=nowhere, TRUSS_ASYNC_STATUS_URL=platform.url)
    assert command_line.run("status", "one").code == 0
    command_line.set(TRUSS_ASYNC_STATUS_URL=nowhere)
    assert command_line.run("status", "one").code == 1
    assert command_line.run("status", "one", "--url", platform.url).code == 0


def test_the_port_of_one_command_is_not_that_of_another(command_line: CommandLine) -> None:
    command_line.set(TRUSS_ASYNC_PORT="99999", TRUSS_ASYNC_HOST="203.0.113.1", TRUSS_ASYNC_JSON="1")
    with command_line.started("listen", "--port", "0", "--exit-after", "0") as process:
        stdout, _ = process.communicate(timeout=60)
    assert stdout.startswith("listening on http://127.0.0.1:")


def test_json_is_asked_for_by_command(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    platform.answer("GET", "/async_request/one", 200, status_answer("QUEUED"))
    command_line.set(TRUSS_ASYNC_URL=platform.url, TRUSS_ASYNC_STATUS_JSON="1")
    assert command_line.run("status", "one").stdout.startswith('{"request_id"')
