"""serve, as a process of its own; the model server behind it is one that runs already."""

import http.client
import json
import signal
import socket
from subprocess import Popen
from urllib.parse import urlsplit

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.client.scripted_platform import ScriptedPlatform
from truss_async.cli.serve import _example_input
from truss_async.harness.settings import HarnessSettings

ALL_ADDRESSES = "0.0.0.0"  # noqa: S104


def listening_url(process: Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().rstrip()
    assert line.startswith("listening on http://127.0.0.1:")
    return line.removeprefix("listening on ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_listens_and_what_to_do_next(
    platform: ScriptedPlatform, command_line: CommandLine, number: signal.Signals
) -> None:
    with command_line.started("serve", "--model-url", platform.url, "--port", "0") as process:
        url = listening_url(process)
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "")
    assert f'next: truss-async submit \'{{"text": "hello"}}\' --url {url}' in stderr.splitlines()
    assert "Traceback" not in stderr


def test_where_all_may_call_it_names_an_address_that_works_and_warns(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    with command_line.started(
        "serve", "--model-url", platform.url, "--port", "0", "--host", ALL_ADDRESSES
    ) as process:
        assert command_line.run("queue", "--url", listening_url(process)).code == 0
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert "other machines can reach 0.0.0.0 and call with any key; set one with --api-key" in stderr


def test_one_without_replicas_says_what_it_is_and_what_becomes_of_requests(
    command_line: CommandLine,
) -> None:
    options = ("--stub", "echo", "--replicas", "0")
    refused = command_line.run("serve", *options, "--node-url", "http://here:1")
    assert (refused.code, refused.stdout) == (2, "")
    assert "a node URL is for harnesses that share a database; give --state, too" in refused.stderr
    with command_line.started("serve", *options, "--port", "0") as process:
        listening_url(process)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert (
        "it only accepts requests and delivers results; they wait until it is served with replicas" in stderr
    )


def test_a_python_that_is_not_there_ends_it_at_once(command_line: CommandLine) -> None:
    folder = command_line.folder / "truss"
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.py").write_text("class Model: ...\n")
    (folder / "config.yaml").write_text("model_name: x\n")
    outcome = command_line.run("serve", "truss", "--port", "0", "--python", "/nope")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == (
        "/nope is not a Python interpreter; give the path of one with --python, or a version such as 3.12"
    )


def test_its_state_stays_in_the_project_and_out_of_version_control(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    with command_line.started("serve", "--model-url", platform.url, "--port", "0") as process:
        listening_url(process)
        folder = command_line.folder / ".truss-async"
        assert (folder / ".gitignore").read_text() == "*\n"
        assert len(list(folder.iterdir())) > 1
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_state_folder_of_ones_own_is_left_alone(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    command_line.set(TRUSS_ASYNC_STATE_DIR="mine", TRUSS_ASYNC_MODEL_URL=platform.url)
    with command_line.started("serve", "--port", "0") as process:
        listening_url(process)
        assert not (command_line.folder / "mine" / ".gitignore").exists()
        assert not (command_line.folder / ".truss-async").exists()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert (command_line.folder / "mine").is_dir()


def test_a_port_in_use_is_one_line(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        outcome = command_line.run_installed("serve", "--model-url", platform.url, "--port", port)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert port in outcome.error_line


def test_a_folder_that_is_no_truss_is_one_line(command_line: CommandLine) -> None:
    outcome = command_line.run_installed("serve", "absent")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "absent" in outcome.error_line


def test_a_file_that_is_no_chain_is_one_line(command_line: CommandLine) -> None:
    for words in (["absent.py:Entry"], ["--chain", "absent.py"]):
        outcome = command_line.run_installed("serve", *words)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert "absent.py does not exist; give the Python file of a chain" in outcome.error_line


def test_a_chain_that_takes_its_time_can_be_interrupted(command_line: CommandLine) -> None:
    folder = command_line.folder / "chain"
    folder.mkdir()
    (folder / "slow.py").write_text("import threading\nthreading.Event().wait(600)\n")
    with command_line.started("serve", "chain/slow.py", "--port", "0") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "generating the chain of chain/slow.py\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "truss-async: interrupted"
    assert "Traceback" not in stderr


def test_time_delivery_and_durability_are_options(
    platform: ScriptedPlatform, command_line: CommandLine
) -> None:
    options = ["--virtual-clock", "--durability", "full", "--webhook-schedule", "older"]
    with command_line.started("serve", "--model-url", platform.url, "--port", "0", *options) as process:
        connection = http.client.HTTPConnection(urlsplit(listening_url(process)).netloc, timeout=30)
        headers = {"Authorization": "Api-Key any"}
        connection.request("POST", "/_harness/clock", '{"advance_seconds": 259200}', headers)
        answer = connection.getresponse()
        assert (answer.status, list(json.loads(answer.read()))) == (200, ["now"])
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_an_option_that_is_not_offered_is_one_line(command_line: CommandLine) -> None:
    outcome = command_line.run("serve", "truss", "--durability", "some")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "durability" in outcome.error_line


def test_faults_of_a_file_are_set(platform: ScriptedPlatform, command_line: CommandLine) -> None:
    (command_line.folder / "faults.toml").write_text("[rates]\nmodel_500 = 1\n")
    options = ["--port", "0", "--faults", "faults.toml"]
    with command_line.started("serve", "--model-url", platform.url, *options) as process:
        connection = http.client.HTTPConnection(urlsplit(listening_url(process)).netloc, timeout=30)
        connection.request("GET", "/_harness/faults", headers={"Authorization": "Api-Key any"})
        assert json.loads(connection.getresponse().read()) == {
            "faults": [{"kind": "model_500", "rate": 1.0, "seed": 0, "id": 1, "struck": 0}]
        }
        connection.close()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_a_file_that_is_wrong_is_one_line(command_line: CommandLine) -> None:
    (command_line.folder / "faults.toml").write_text("[rates]\nmodel_501 = 1\n")
    outcome = command_line.run("serve", "truss", "--faults", "faults.toml")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "faults.toml: rates.model_501: kind: Input should be 'webhook_dropped'" in outcome.error_line


def test_store_faults_need_the_gate(command_line: CommandLine) -> None:
    (command_line.folder / "faults.toml").write_text("[rates]\nstore_forbidden = 1\n")
    outcome = command_line.run("serve", "truss", "--faults", "faults.toml", "--no-store-gate")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "store gate" in outcome.error_line


MISTAKES = [
    (["--stub", "{text: x}"], "stub: {text: x} is not valid JSON ("),
    (
        ["--stub", "echo", "--latency", "soon"],
        "--latency: 'soon' is not a duration; write it as 500ms, 2s or 1m",
    ),
    (["truss", "--stub", "echo"], "no config.yaml in truss: give the folder of a truss"),
    (["a", "b", "--stub", "{oops"], "a: stub: {oops is not valid JSON"),
]


@pytest.mark.parametrize(("arguments", "told"), MISTAKES)
def test_a_mistake_with_a_stub_is_one_sentence_with_its_remedy(
    command_line: CommandLine, arguments: list[str], told: str
) -> None:
    outcome = command_line.run("serve", *arguments, "--port", "0")
    assert (outcome.code in (1, 2), outcome.stdout) == (True, "")
    assert told in outcome.error_line


def test_a_stub_needs_no_truss_and_says_what_it_does_and_what_to_submit(command_line: CommandLine) -> None:
    (command_line.folder / "answers.jsonl").write_text('{"input": {"page": 1}, "output": "one"}\n')
    options = ["--stub", "answers.jsonl", "--latency", "10ms", "--fail-rate", "0.1", "--port", "0"]
    with command_line.started("serve", *options) as process:
        url = listening_url(process)
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=60)
    said = "answers the one input of answers.jsonl after 0.01 s and fails 0.1 of its calls, drawn from the seed 0"
    assert f"is a stub: it {said}" in stderr
    assert f"next: truss-async submit '{{\"page\": 1}}' --url {url}" in stderr.splitlines()


@pytest.mark.parametrize(
    ("config", "examples", "shown"),
    [
        ("model_metadata: {example_model_input: {prompt: hi}}", None, '{"prompt": "hi"}'),
        ("model_name: x", "- {name: one, input: [1]}", "[1]"),
        ("model_metadata: {example_model_input: {day: 2026-01-01}}", None, '{"text": "hello"}'),
        ("model_metadata: [oops]", "{oops", '{"text": "hello"}'),
        ("model_name: x", "[]", '{"text": "hello"}'),
    ],
)
def test_the_first_command_has_an_input_that_the_truss_names(
    command_line: CommandLine, config: str, examples: str | None, shown: str
) -> None:
    (command_line.folder / "config.yaml").write_text(config)
    if examples is not None:
        (command_line.folder / "examples.yaml").write_text(examples)
    settings = HarnessSettings(truss_dir=command_line.folder, stub={})
    assert _example_input(settings) == shown


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("def predict(self, it): return it['name'], it.get('language', 'en'), it['name'], other['x']", '{"name": "…", "language": "…"}'),
        ("def preprocess(self, it): return it['page']\n    def predict(self, x): return x['made']", '{"page": "…"}'),
        ("async def predict(self, it): return it[0], it[it], it.get()", '{"text": "hello"}'),
        ("def predict(self): return 1", '{"text": "hello"}'),
        ("def predict(self, it: return it", '{"text": "hello"}'),
    ],
)  # fmt: skip
def test_the_first_command_has_the_keys_that_the_model_reads_where_the_truss_names_no_input(
    command_line: CommandLine, model: str, shown: str
) -> None:
    (command_line.folder / "config.yaml").write_text("model_name: x\n")
    (command_line.folder / "model").mkdir()
    (command_line.folder / "model" / "model.py").write_text(f"class Model:\n    {model}\n")
    assert _example_input(HarnessSettings(truss_dir=command_line.folder)) == shown


def test_a_folder_without_a_config_has_any_input(command_line: CommandLine) -> None:
    assert _example_input(HarnessSettings(truss_dir=command_line.folder)) == '{"text": "hello"}'
