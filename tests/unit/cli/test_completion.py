"""``truss-async completion``: what the shells are given, and that one of them takes it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine
from truss_async.cli.app import COMMANDS


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_knows_every_command(command_line: CommandLine, shell: str) -> None:
    outcome = command_line.run("completion", shell)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [name for name in COMMANDS if name not in outcome.stdout] == []
    assert "state-dir" in outcome.stdout


def test_bash_completes_commands_and_options(command_line: CommandLine) -> None:
    (command_line.folder / "script").write_text(command_line.run("completion", "bash").stdout)

    def completed(*words: str) -> set[str]:
        typed = " ".join(f"'{word}'" for word in ("truss-async", *words))
        asked = f"COMP_WORDS=({typed}); COMP_CWORD={len(words)}; _truss_async; echo ${{COMPREPLY[@]}}"
        done = subprocess.run(
            [shutil.which("bash") or "bash", "-c", f". ./script; {asked}"],
            cwd=command_line.folder, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return set(done.stdout.split())

    assert {"serve", "secrets"} <= completed("se")
    assert "--state-dir" in completed("serve", "--sta")
    assert {"list", "prune"} <= completed("cache", "")


def test_it_installs_where_the_shell_looks(command_line: CommandLine, tmp_path: Path) -> None:
    command_line.set(HOME=str(tmp_path), XDG_DATA_HOME="", XDG_CONFIG_HOME="")
    outcome = command_line.run("completion", "bash", "--install")
    assert outcome.code == 0
    assert outcome.stdout.startswith(f"installed in {tmp_path}{os.sep}")
    assert "truss-async" in (tmp_path / ".bashrc").read_text()


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_has_a_short_flag(command_line: CommandLine, flag: str) -> None:
    outcome = command_line.run(flag)
    assert outcome.code == 0
    assert outcome.stdout.strip()[0].isdigit()
