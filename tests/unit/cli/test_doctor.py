"""``truss-async doctor``: what it prints, and how it ends."""

import json
import socket

import pytest

from tests.unit.cli.conftest import CommandLine
from truss_async.cli.app import make_app


@pytest.fixture
def nowhere() -> str:
    """A URL that nobody answers at."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_all_is_well(command_line: CommandLine, nowhere: str) -> None:
    outcome = command_line.run("doctor", "--port", "0", "--time-url", nowhere, "--store", "memory://x")
    assert (outcome.code, outcome.stderr) == (0, "")
    first, *rows, _, last = outcome.stdout.splitlines()
    assert first.startswith("ok      Python       3.")
    assert "ok      store        memory://x: written, read and deleted" in rows
    assert last == "no problems found"
    assert list(command_line.folder.iterdir()) == []


def test_what_is_to_be_mended_has_its_remedy_below(command_line: CommandLine, nowhere: str) -> None:
    outcome = command_line.run(
        "doctor", "--port", "0", "--time-url", nowhere, "--webhook-endpoint", "http://example.com"
    )
    assert outcome.code == 1
    lines = outcome.stdout.splitlines()
    failed = lines.index("FAILED  webhook      the platform would refuse http://example.com")
    assert lines[failed + 1].split() == [
        "the",
        "URL",
        "must",
        "use",
        "https://",
        "(plain",
        "http://",
        "is",
        "for",
        "localhost",
        "only)",
    ]
    assert lines[-1] == "1 failed"


def test_a_folder_that_is_no_truss_is_told_in_its_row(command_line: CommandLine, nowhere: str) -> None:
    outcome = command_line.run("doctor", "absent", "--port", "0", "--time-url", nowhere, "--json")
    assert outcome.code == 1
    told = json.loads(outcome.stdout)
    assert told["ok"] is False
    assert [row for row in told["rows"] if row["outcome"] == "failed"] == [
        {
            "check": "config.yaml",
            "outcome": "failed",
            "found": "absent cannot be served",
            "remedy": "no config.yaml in absent: give the folder of a truss",
        }
    ]


def test_a_database_takes_the_place_of_the_state_folder(command_line: CommandLine, nowhere: str) -> None:
    away = "postgresql://nobody@127.0.0.1:1/x"
    outcome = command_line.run("doctor", "--port", "0", "--time-url", nowhere, "--state", away)
    assert outcome.code == 1
    assert "FAILED  database     cannot be used: connection failed: " in outcome.stdout
    assert "the state folder" not in outcome.stdout
    outcome = command_line.run("doctor", "--state", "mysql://x")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "--state: give a database URL" in outcome.stderr


def test_its_options_are_those_of_serve() -> None:
    app = make_app()
    shared = (
        *("--host", "--port", "--state-dir", "--state", "--schema"),
        *("--secrets-dir", "--python", "--cache-dir"),
    )
    serve, doctor = (
        {
            name: each.parameter.env_var
            for each in app[command].assemble_argument_collection()
            for name in each.names
        }
        for command in ("serve", "doctor")
    )
    assert {name: serve[name] for name in shared} == {name: doctor[name] for name in shared}


def test_a_store_may_be_a_plain_folder(command_line: CommandLine, nowhere: str) -> None:
    folder = command_line.folder / "outputs"
    folder.mkdir()
    outcome = command_line.run("doctor", "--port", "0", "--time-url", nowhere, "--store", "outputs")
    told = " ".join(outcome.stdout.split())
    assert f"ok store {folder.as_uri()}: written, read and deleted" in told
    outcome = command_line.run("doctor", "--store", "nowhere")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "--store: there is no folder 'nowhere'" in outcome.stderr
