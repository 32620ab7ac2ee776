"""``truss-async cache``: the environments that are kept, and which of them go."""

import fcntl
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine
from truss_async.clock import SYSTEM_CLOCK


def make_environment(
    command_line: CommandLine, name: str, *, unused_days: float = 0, whole: bool = True
) -> Path:
    command_line.set(TRUSS_ASYNC_CACHE_DIR=str(command_line.folder / "cache"))
    path = command_line.folder / "cache" / "environments" / name
    (path / "bin").mkdir(parents=True)
    (path / "bin" / "python").symlink_to(sys.executable)
    (path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.4\n")
    (path / "requirements-1.txt").write_text("numpy<2\ntorch\n")
    if whole:
        (path / ".complete").touch()
    lock = path.with_name(f"{name}.lock")
    lock.touch()
    used = (SYSTEM_CLOCK.now() - timedelta(days=unused_days)).timestamp()
    os.utime(lock, (used, used))
    return path


def names(outcome_text: str) -> list[str]:
    return [Path(each["path"]).name for each in json.loads(outcome_text)]


def test_they_are_listed_with_what_they_hold_the_latest_used_first(command_line: CommandLine) -> None:
    make_environment(command_line, "old", unused_days=40)
    make_environment(command_line, "new")
    first, second, last = command_line.run("cache", "list").stdout.splitlines()
    assert first.split()[:2] == ["new", "3.12.4"]
    assert first.endswith("numpy<2, torch")
    assert second.startswith("old")
    assert last.startswith("2 in ")
    assert names(command_line.run("cache", "list", "--json").stdout) == ["new", "old"]


def test_without_any_nothing_is_listed(command_line: CommandLine) -> None:
    command_line.set(TRUSS_ASYNC_CACHE_DIR=str(command_line.folder / "cache"))
    assert command_line.run("cache", "list").stdout.startswith("0 in ")
    assert command_line.run("cache", "prune").stdout == "removed 0 of 0, 0 MB\n"


def test_what_was_not_used_for_a_month_and_what_was_never_finished_goes(command_line: CommandLine) -> None:
    old = make_environment(command_line, "old", unused_days=31)
    broken = make_environment(command_line, "broken", whole=False)
    new = make_environment(command_line, "new", unused_days=29)
    assert sorted(names(command_line.run("cache", "prune", "--dry-run", "--json").stdout)) == [
        "broken",
        "old",
    ]
    assert old.exists()
    assert command_line.run("cache", "prune").stdout.splitlines()[-1].startswith("removed 2 of 3, ")
    assert (old.exists(), broken.exists(), new.exists()) == (False, False, True)


def test_what_a_process_runs_in_stays(command_line: CommandLine) -> None:
    used = make_environment(command_line, "used", unused_days=99)
    code = "print(flush=True); input()"
    with subprocess.Popen(
        [used / "bin" / "python", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        listed = json.loads(command_line.run("cache", "list", "--json").stdout)
        assert listed[0]["users"] == [process.pid]
        assert names(command_line.run("cache", "prune", "--unused-for", "0s", "--json").stdout) == []
        process.communicate("\n")
    assert names(command_line.run("cache", "prune", "--unused-for", "0s", "--json").stdout) == ["used"]


def test_what_is_being_made_stays(command_line: CommandLine) -> None:
    made = make_environment(command_line, "made", whole=False)
    with made.with_name("made.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert names(command_line.run("cache", "prune", "--json").stdout) == []
    assert made.exists()


@pytest.mark.parametrize("text", ["soon", "5w"])
def test_no_duration_is_a_mistake(command_line: CommandLine, text: str) -> None:
    outcome = command_line.run("cache", "prune", "--unused-for", text)
    assert outcome.code == 2
    assert outcome.error_line.startswith("--unused-for: ")
