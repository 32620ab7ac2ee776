"""``truss-async init``: the truss it makes, and what it prints."""

import json
import subprocess
import sys
from pathlib import Path

from tests.unit.cli.conftest import CommandLine


def test_its_tests_pass_without_options(command_line: CommandLine, tmp_path: Path) -> None:
    assert command_line.run("init", "hello").code == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "hello"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_it_says_what_it_made_and_what_to_do_next(command_line: CommandLine) -> None:
    outcome = command_line.run("init", "my truss")
    assert (outcome.code, outcome.stderr) == (0, "")
    assert "my truss/model/model.py" in outcome.stdout
    assert "serve it:   truss-async serve 'my truss'\n" in outcome.stdout


def test_for_scripts_it_names_the_files(command_line: CommandLine) -> None:
    made = json.loads(command_line.run("init", "hello", "--json").stdout)
    assert made["truss_dir"] == "hello"
    assert "hello/config.yaml" in made["files"]


def test_a_second_time_it_changes_nothing(command_line: CommandLine) -> None:
    command_line.run("init", "hello")
    outcome = command_line.run("init", "hello")
    assert outcome.code == 1
    assert outcome.error_line.endswith("exists already; give a new or empty folder")
