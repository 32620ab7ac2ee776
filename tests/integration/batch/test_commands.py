"""``batch run|status|retry|export`` as they are called, against a harness that speaks the platform's contract alone."""

import gzip
import json
import os
import pty
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.batch.conftest import Served
from tests.unit.cli.conftest import COMMAND, CommandLine
from truss_async.cli import batch_screen
from truss_async.client.batch.input_file import opened
from truss_async.client.batch.run_lock import RunLock
from truss_async.clock import SYSTEM_CLOCK

Serve = Callable[..., Served]


def square(x: int) -> int:
    return x * x


def write(folder: Path, *lines: Any) -> None:
    (folder / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def rows(path: Path) -> dict[str, Any]:
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["custom_id"] for row in found}) == len(found)
    return {row["custom_id"]: row["response"]["body"] for row in found}


def test_a_batch_is_run_asked_retried_and_exported(serve: Serve, command_line: CommandLine) -> None:
    ill = {2, 3}

    def model(x: int) -> int:
        if x in ill:
            raise ValueError("ill")
        return x

    folder = command_line.folder
    write(folder, 1, *({"model_input": x, "inference_retry_config": {"max_attempts": 1}} for x in (2, 3)), 4)
    command_line.set(TRUSS_ASYNC_URL=serve(model).url)
    ran = command_line.run(
        "batch", "run", "in.jsonl", "--out", "out.jsonl", "--attempts", "1", "--no-progress"
    )
    assert ran.code == 1
    assert ran.stdout.splitlines() == [
        "2 of 4 lines have their result in out.jsonl",
        "2 failed: see out.errors.jsonl; try again with: truss-async batch retry out.jsonl.ledger",
    ]
    told = command_line.run("batch", "status", "out.jsonl.ledger", "--json")
    assert json.loads(told.stdout) == {
        "lines": 4,
        "waiting": 0,
        "open": 0,
        "done": 2,
        "failed": 2,
        "submissions": 4,
        "unanswered": 0,
    }
    ill.remove(3)
    again = command_line.run("batch", "retry", "out.jsonl.ledger", "--no-progress")
    assert (again.code, again.stderr) == (1, "2 lines are submitted again\n")
    assert set(rows(folder / "out.jsonl")) == {"line-1", "line-3", "line-4"}
    assert "line-2" in (folder / "out.errors.jsonl").read_text()
    ill.clear()
    again = command_line.run("batch", "retry", "out.jsonl.ledger", "--failed")
    assert (again.code, again.stderr) == (0, "1 line is submitted again\n")
    assert not (folder / "out.errors.jsonl").exists()
    exported = command_line.run("batch", "export", "out.jsonl.ledger", "--out", "all.jsonl.gz")
    assert exported.stdout == "wrote 4 results to all.jsonl.gz\n"
    lines = gzip.decompress((folder / "all.jsonl.gz").read_bytes()).splitlines()
    assert [json.loads(line)["response"]["body"] for line in lines] == [1, 2, 3, 4]
    assert "lines                  4" in command_line.run("batch", "status", "out.jsonl.ledger").stdout


def test_a_retry_of_what_there_is_none_of_says_so_and_sends_nothing(
    serve: Serve, command_line: CommandLine
) -> None:
    write(command_line.folder, {"model_input": 1, "priority": 9}, 2)
    served = serve(square)
    options = ("--url", served.url)
    assert command_line.run("batch", "run", "in.jsonl", "--out", "out.jsonl", *options).code == 1
    served.front.calls.clear()
    none = command_line.run("batch", "retry", "out.jsonl.ledger", "--expired", "--lost")
    assert none.code == 0
    assert none.stderr == (
        "no line expired or was lost: nothing is submitted again; lines that failed otherwise stay as they are: 1 REFUSED\n"
    )
    as_json = command_line.run("batch", "retry", "out.jsonl.ledger", "--expired", "--json")
    assert json.loads(as_json.stdout)["failed"] == 1
    assert served.front.calls == []
    refused_again = command_line.run("batch", "retry", "out.jsonl.ledger")
    assert (refused_again.code, refused_again.stderr) == (1, "1 line is submitted again\n")


def test_a_retry_is_judged_by_what_it_submitted_again(serve: Serve, command_line: CommandLine) -> None:
    ill = [True]

    def model(x: int) -> int:
        if ill:
            raise ValueError("ill")
        return x

    once = {"inference_retry_config": {"max_attempts": 1}}
    write(command_line.folder, {"model_input": 1, **once})
    served = serve(model)
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--attempts", "1", "--url", served.url)
    assert command_line.run(*run).code == 1
    ill.clear()
    retried = command_line.run("batch", "retry", "out.jsonl.ledger", "--failed")
    assert retried.code == 0
    assert "1 of 1 lines have their result" in retried.stdout


def test_a_batch_goes_on_from_any_folder_and_may_move(
    serve: Serve, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(square)
    first, second = command_line.folder / "first", command_line.folder / "second"
    first.mkdir()
    write(first, 1, 2, 3)
    monkeypatch.chdir(first)
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", served.url)
    assert command_line.run(*run, "--limit", "2").code == 0
    monkeypatch.chdir(command_line.folder)
    shutil.move(first, second)
    went_on = command_line.run("batch", "retry", "second/out.jsonl.ledger")
    assert (went_on.code, "no line has failed: nothing is submitted again" in went_on.stderr) == (0, True)
    monkeypatch.chdir(second)
    assert command_line.run(*run).code == 0
    assert rows(second / "out.jsonl") == {"line-1": 1, "line-2": 4, "line-3": 9}


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_standard_input_is_looked_at_before_anything_is_sent(
    serve: Serve, command_line: CommandLine, option: str
) -> None:
    served = serve(square)
    run = ("batch", "run", "-", "--out", "out.jsonl", "--url", served.url, option)
    bad = command_line.run(*run, stdin=b'1\n{"model_input": 2, "priority": 9}\n')
    assert bad.code == (1 if option == "--dry-run" else 2)
    assert "line 2: priority" in bad.stdout + bad.stderr
    assert served.front.calls == []
    assert list(command_line.folder.iterdir()) == []
    good = command_line.run(*run, stdin=b"1\n2\n")
    assert good.code == 0
    is_sent = (command_line.folder / "out.jsonl").exists()
    assert is_sent is (option == "--check")


def test_another_input_is_refused_and_so_is_a_second_run(serve: Serve, command_line: CommandLine) -> None:
    folder = command_line.folder
    write(folder, 1)
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", serve(square).url)
    assert command_line.run(*run).code == 0
    write(folder, 2)
    other = command_line.run(*run)
    assert other.code == 2
    assert "is another input than that of the ledger" in other.error_line
    write(folder, 1)
    lock = RunLock(folder / "out.jsonl.ledger.lock", ledger=folder / "out.jsonl.ledger")
    second = command_line.run(*run)
    assert (second.code, "another run is at work on the ledger" in second.error_line) == (2, True)
    retried = command_line.run("batch", "retry", "out.jsonl.ledger")
    assert (retried.code, "another run is at work on the ledger" in retried.error_line) == (2, True)
    lock.release()


def test_a_refused_key_ends_it_at_once(serve: Serve, command_line: CommandLine) -> None:
    write(command_line.folder, *range(50))
    url = serve(square, api_key="right").url
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", url, "--api-key")
    refused = command_line.run(*run, "wrong")
    assert (refused.code, "refused the API key" in refused.error_line) == (1, True)
    assert command_line.run(*run, "right").code == 0
    assert len(rows(command_line.folder / "out.jsonl")) == 50


def test_what_is_no_ledger_is_told_from_one(command_line: CommandLine) -> None:
    for command in ("status", "retry"):
        outcome = command_line.run("batch", command, "none.ledger")
        assert (outcome.code, "there is no ledger none.ledger" in outcome.error_line) == (1, True)


@pytest.mark.parametrize(
    ("out", "errors"),
    [
        ("out.jsonl.zst", "out.errors.jsonl.zst"),
        ("out.jsonl.gz", "out.errors.jsonl.gz"),
        ("URL/out.jsonl", "URL/out.errors.jsonl"),
    ],
)
def test_packed_outputs_and_urls_are_written_once_all_is_over(
    serve: Serve, command_line: CommandLine, out: str, errors: str
) -> None:
    folder = command_line.folder / "there"
    folder.mkdir()
    place = folder.as_uri() if out.startswith("URL") else "there"
    write(command_line.folder, 2, {"model_input": 1, "priority": 9}, 3)
    run = (
        "batch",
        "run",
        "in.jsonl",
        "--out",
        f"{place}/{out.rpartition('/')[2]}",
        "--url",
        serve(square).url,
    )
    assert command_line.run(*run).code == 1
    found = []
    for name in (out, errors):
        with opened(str(folder / name.rpartition("/")[2]), "rb") as file:
            found.append([json.loads(line) for line in file])
    assert sorted(row["response"]["body"] for row in found[0]) == [4, 9]
    assert [row["error"]["code"] for row in found[1]] == ["REFUSED"]
    assert command_line.run(*run).code == 1  # it is over: the same once more


@pytest.mark.parametrize("out", ["out.jsonl", "out.jsonl.gz"])
def test_an_input_without_lines_has_an_empty_output(
    serve: Serve, command_line: CommandLine, out: str
) -> None:
    (command_line.folder / "in.jsonl").write_text("\n \n")
    served = serve(square)
    done = command_line.run("batch", "run", "in.jsonl", "--out", out, "--url", served.url)
    assert (done.code, done.stdout) == (0, f"there are no lines in the input: {out} is empty\n")
    with opened(str(command_line.folder / out), "rb") as file:
        assert file.read() == b""
    assert served.front.calls == []


def test_wake_wakes_first(serve: Serve, command_line: CommandLine) -> None:
    write(command_line.folder, 1)
    served = serve(square)
    run = ("batch", "run", "in.jsonl", "--out", "out.jsonl", "--wake", "--url", served.url)
    assert command_line.run(*run).code == 0
    assert "POST /production/wake" in served.front.calls[:2]


def test_progress_is_told_now_and_then(
    serve: Serve, command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_screen, "LINE_SECONDS", 0.02)
    write(command_line.folder, *range(30))
    url = serve(square).url
    as_json = command_line.run("batch", "run", "in.jsonl", "--out", "a.jsonl", "--json", "--url", url)
    told = [json.loads(line) for line in as_json.stdout.splitlines()]
    assert len(told) > 1
    assert {line["event"] for line in told} == {"progress"}
    last = {name: told[-1][name] for name in ("lines", "done", "failed", "open", "waiting", "rate_limited")}
    assert last == {"lines": 30, "done": 30, "failed": 0, "open": 0, "waiting": 0, "rate_limited": 0}
    assert "seconds_left" in told[-1]
    lines = command_line.run("batch", "run", "in.jsonl", "--out", "b.jsonl", "--url", url).stderr.splitlines()
    assert lines
    assert all("lines (" in line for line in lines)


def test_a_bar_is_shown_on_a_terminal(serve: Serve, command_line: CommandLine) -> None:
    write(command_line.folder, *range(5))
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, "batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", serve(slowly).url],
        cwd=command_line.folder,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b"".join(iter(lambda: read_terminal(ours), b""))
    os.close(ours)
    assert process.returncode == 0
    assert b"of 5 lines (" in shown


def slowly(x: int) -> int:
    SYSTEM_CLOCK.block(1.2)  # longer than a bar waits to be drawn anew
    return x


def read_terminal(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end was closed
        return b""
