"""Calling the command: help, examples, mistakes, exit codes."""

import operator
import re
import shlex
import signal
import socket
import subprocess
import sys
from functools import reduce
from importlib.metadata import metadata

import pytest

from tests.unit.cli.conftest import CommandLine
from tests.unit.cli.parsed_commands import commands
from truss_async.cli.app import COMMANDS, make_app, select_command
from truss_async.cli.extras import install_line
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.settings import PYTHON_ONLY
from truss_async.stores.schemes import LIBRARIES


def test_the_installed_command_shows_a_help(command_line: CommandLine) -> None:
    outcome = command_line.run_installed("serve", "--help")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "truss-async serve path/to/truss" in outcome.stdout.partition("\nExample:\n")[2]


@pytest.mark.parametrize("name", sorted({*COMMANDS, *map(str, commands())}))
def test_every_example_is_understood(name: str) -> None:
    app = make_app()
    select_command(app, name.split())
    command = reduce(operator.getitem, name.split(), app)
    found = 0
    for line in (command.help_epilogue or "").splitlines()[1:]:
        words = shlex.split(line.strip().removeprefix("id=$(").removesuffix(")"))
        assert words[0] == "truss-async"
        select_command(app, words[1:])
        app.parse_args(words[1:], exit_on_error=False, print_error=False)
        found += 1
    assert found


def test_without_arguments_it_shows_the_commands(command_line: CommandLine) -> None:
    outcome = command_line.run()
    assert (outcome.code, outcome.stderr) == (0, "")
    listed = [
        line.split()[0] for line in outcome.stdout.splitlines() if line.startswith(" ") and line.split()
    ]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)
    assert all(summary in outcome.stdout for summary in COMMANDS.values())


def test_version_is_the_packages_own(command_line: CommandLine) -> None:
    outcome = command_line.run("--version")
    assert outcome.code == 0
    assert outcome.stdout.strip()[0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("srve", 2, "unknown command 'srve'; did you mean 'serve'?"),
        ("frobnicate", 2, "unknown command 'frobnicate'; there are: init, doctor, serve, demo"),
        ("serve", 2, "give a truss folder, a chain, a model URL or a stub"),
        ("serve x --model-url http://127.0.0.1:1", 2, "give a truss folder or a model URL, not both"),
        ("serve x --prt 5", 2, "Unknown option: --prt. Did you mean --port?"),
        ("serve x --port many", 2, 'Invalid value for --port: unable to convert "many" into int.'),
        ("serve x --port 99999", 2, "--port: input should be less than or equal to 65535"),
        ("serve x --port", 2, "--port requires an argument"),
        ("serve x --replicas -1", 2, "--replicas: input should be greater than or equal to 0"),
        ("serve x --model-id a/b", 2, "--model-id: string should match pattern"),
        ("serve --model-url nonsense", 2, "--model-url: input should be a valid URL"),
        ("serve x --webhook-secret ''", 2, "--webhook-secret: string should have at least 1 character"),
        ("serve x y", 1, "no config.yaml in x: give the folder of a truss"),
        ("serve a/x b/x", 2, "two deployments have the deployment id x1; each needs its own"),
        ("serve x --deployments y", 2, "give truss folders or --deployments, not both"),
        ("serve x --model-url http://localhost", 2, "give a truss folder or a model URL, not both"),
        ("serve --deployments nowhere.toml", 2, "cannot read nowhere.toml: No such file or directory"),
        ("submit 1 2", 2, "too many arguments: 2"),
        (
            "submit hello",
            2,
            "the model input is not JSON: expected value at line 1 column 1; give JSON, @FILE",
        ),
        ("submit '{\"a\": 1,}'", 2, "is not JSON: trailing comma at line 1 column 9"),
        ("submit NaN", 2, "the model input is not JSON"),
        ("submit", 2, "the model input is not JSON: EOF"),
        ("submit @absent.json", 2, "cannot read absent.json: No such file or directory"),
        ("submit 1 --priority 7", 2, "--priority: input should be less than or equal to 2"),
        ("submit 1 --max-attempts 11", 2, "--max-attempts: input should be less than or equal to 10"),
        ("submit 1 --max-time-in-queue-seconds 5", 2, "--max-time-in-queue-seconds: input should be greater"),
        ("submit 1 --webhook-endpoint http://example.com", 2, "--webhook-endpoint: must use https://"),
        ("submit 1 --url example.com", 2, "'example.com' is not the URL of a model"),
        ("submit 1 --url https://model-x.api.baseten.co", 2, "model-x.api.baseten.co needs an API key: set"),
        ("submit 1 --priorty 1", 2, "Unknown option: --priorty. Did you mean --priority?"),
        ("status", 2, "parameter REQUEST_ID requires an argument"),
        ("status ''", 2, "the request id is empty"),
        ("cancel", 2, "parameter REQUEST_ID requires an argument"),
        ("results gt", 2, "unknown command 'gt'; did you mean 'get'?"),
        (
            "results frobnicate",
            2,
            "unknown command 'frobnicate'; there are: export, compact, get, wait, list, open, rm",
        ),
        ("results get", 2, "REQUEST_ID requires an argument"),
        ("results get r1", 2, "--store requires an argument"),
        (
            "results get r1 --store nonsense",
            2,
            "--store: there is no folder 'nonsense'; give a folder, or the URL",
        ),
        ("results get r1 --store 1://x", 2, "'1://x' is not the URL of an output store: it must start"),
        ("results list --store ./absent", 2, "absent; a model makes it with its first output"),
        (
            "results list --store file:///absent/{date}",
            2,
            "--store: there is no folder /absent; a model makes",
        ),
        ("results get r1 --store ./absent", 2, "--store: there is no folder"),
        ("predict hello", 2, "the model input is not JSON"),
        ("predict 1 --timeout-seconds 0", 2, "--timeout-seconds: must be more than 0"),
        (
            "listen --port 99999",
            1,
            "cannot listen on 127.0.0.1:99999: a port is 0 to 65535; choose another port",
        ),
        (
            "submit 1 --url http://127.0.0.1:1/development/async_predict --target deployment/x",
            2,
            "contains another target than 'deployment/x'; give the URL of the model alone",
        ),
        ("results get ../r1 --store memory://x", 2, "request id '../r1' cannot be part of an object key"),
        ("results get r1 r2 --store memory://x", 2, "too many arguments: r2"),
        ("results wait r1 --store memory://x --timeout-seconds -1", 2, "--timeout-seconds: must be 0"),
        ("results wait r1 --store memory://x --timeout-seconds nan", 2, "--timeout-seconds: must be 0"),
        (
            "results list --store memory://x --since 5w",
            2,
            "--since: '5w' is neither a duration (30m, 12h, 7d) nor a time",
        ),
        (
            "results open r1 ../x --store memory://x",
            2,
            "artifact name '../x' cannot be part of an object key",
        ),
        ("results rm --store memory://x", 2, "give the REQUEST_ID of the request to remove"),
        ("results rm r1 '' --store memory://x", 2, "request id '' cannot be part of an object key"),
        ("listen extra", 2, "too many arguments: extra"),
        ("listen --host 203.0.113.1", 1, "cannot listen on 203.0.113.1:8099: "),
        ("listen --keep file/below", 1, "file/below: Not a directory"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(
    command_line: CommandLine, arguments: str, code: int, message: str
) -> None:
    (command_line.folder / "file").touch()
    outcome = command_line.run(*shlex.split(arguments))
    assert message in outcome.error_line
    assert (outcome.code, outcome.stdout) == (code, "")


@pytest.mark.parametrize(
    ("arguments", "code"), [("submit hello", 2), ("status abc --url http://127.0.0.1:1", 1)]
)
def test_the_installed_command_fails_in_the_same_way(
    command_line: CommandLine, arguments: str, code: int
) -> None:
    outcome = command_line.run_installed(*arguments.split())
    assert (outcome.code, outcome.stdout, bool(outcome.error_line)) == (code, "", True)


def test_nobody_listening_is_one_line(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    outcome = command_line.run("submit", "1", "--url", url)
    assert outcome.code == 1
    assert outcome.error_line == f"nothing listens on {url}; start it with: truss-async serve TRUSS_DIR"


@pytest.mark.parametrize("place", ["flag", "variable"])
def test_debug_shows_where_an_error_comes_from(command_line: CommandLine, place: str) -> None:
    if place == "variable":
        command_line.set(TRUSS_ASYNC_DEBUG="1")
    outcome = command_line.run("submit", "hello", *["--debug"] * (place == "flag"))
    assert outcome.code == 2
    assert outcome.stderr.startswith("Traceback")
    assert outcome.stderr.splitlines()[-1].startswith("truss-async: the model input is not JSON")


def test_every_option_of_serve_is_a_field_of_the_settings(command_line: CommandLine) -> None:
    command_line.set(COLUMNS="250")
    text = command_line.run("serve", "--help").stdout
    for name, field in HarnessSettings.model_fields.items():
        if name in (*PYTHON_ONLY, "chainlets"):
            continue
        word = "schema" if name == "state_schema" else name
        assert f"TRUSS_ASYNC_{word.upper()}" in text
        assert (field.description or "")[:40] in text


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("TRUSS_ASYNC_PORT", "99999", "--port: "),
        ("TRUSS_ASYNC_REPLICAS", "-1", "--replicas: "),
        ("TRUSS_ASYNC_MODEL_ID", "a/b", "--model-id: "),
        ("TRUSS_ASYNC_MODEL_URL", "http://127.0.0.1:1", "give a truss folder or a model URL"),
    ],
)
def test_an_option_can_be_set_in_the_environment(
    command_line: CommandLine, name: str, value: str, message: str
) -> None:
    command_line.set(**{name: value})
    outcome = command_line.run("serve", "truss")
    assert outcome.code == 2
    assert outcome.error_line.startswith(message)


def test_an_interruption_is_one_line(command_line: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with command_line.started("status", "abc", "--url", url) as process:
            connection, _ = silent.accept()
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)
            connection.close()
    assert (process.returncode, stderr) == (130, "truss-async: interrupted\n")


@pytest.mark.parametrize(
    ("missing", "arguments", "extras"),
    [
        ("cyclopts", [], "cli"),
        ("rich", ["status", "r1"], "cli"),
        ("cyclopts", ["serve", "x"], "harness"),
        ("cyclopts", ["demo"], "demo"),
        ("cyclopts", ["results", "get", "r1", "--store=s3://b"], "cli,s3"),
        ("cyclopts", ["doctor", "--store", "gs://b"], "harness,gcs"),
    ],
)
def test_without_its_libraries_it_names_the_extra_of_the_command_at_the_first_try(
    missing: str, arguments: list[str], extras: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from truss_async.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"truss-async's commands need {missing}: pip install 'truss-async[{extras}]'\n"


def test_every_extra_of_a_command_is_one_that_there_is() -> None:
    declared = set(metadata("truss-async").get_all("Provides-Extra", []))
    named = {install_line([name, "--store", f"{scheme}://b"]) for name in COMMANDS for scheme in LIBRARIES}
    extras = {extra for line in named for extra in re.findall(r"\[(.*)\]", line)[0].split(",")}
    assert extras <= declared
    assert {"cli", "harness", "demo", "s3", "gcs", "azure"} <= extras


def test_what_a_command_alone_lacks_names_its_extra(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "truss_async.cli.cache", raising=False)
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.delitem(sys.modules, "truss_async.replicas.kept_environments", raising=False)
    outcome = command_line.run("cache", "list")
    assert outcome.error_line == "this command needs psutil: pip install 'truss-async[harness]'"


def test_a_command_loads_no_other_command() -> None:
    code = (
        "import sys; sys.argv = ['truss-async', 'status', '--help']\n"
        "from truss_async.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'truss_async.cli.status' in sys.modules\n"
        "assert not {'truss_async.cli.serve', 'truss_async.harness.harness', 'aiohttp'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_results_need_no_harness() -> None:
    code = (
        "import sys; sys.argv = ['truss-async', 'results', 'list', '--store', 'memory://x']\n"
        "from truss_async.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'aiohttp', 'truss', 'truss_async.harness'} & set(sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
