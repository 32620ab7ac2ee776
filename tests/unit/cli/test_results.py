"""The command ``results``, on a folder."""

import io
import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from tests.outputs import put_error, put_foreign, put_result, saver_of
from tests.unit.cli.conftest import COMMAND, DEADLINE_SECONDS, CommandLine
from truss_async.contract import AsyncPredictResult, ErrorDetail
from truss_async.model.file_parts import FilePart
from truss_async.stores import OutputStore

LONG_AGO = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
RESULT = AsyncPredictResult(
    request_id="r1", model_id="m", time=LONG_AGO, data={"text": "größer\x1b[31m\x9b", "page": [1, None]}
)
FAILED = AsyncPredictResult(
    request_id="r2", time=LONG_AGO, errors=[ErrorDetail(code="MODEL_PREDICT_ERROR", message="no\npage")]
)


@pytest.fixture(autouse=True)
def store(command_line: CommandLine) -> OutputStore:
    """The store that the environment names: one result with an artifact, one failure."""
    url = (command_line.folder / "outputs").as_uri()
    command_line.set(TRUSS_ASYNC_OUTPUT_URL=url)
    store = OutputStore.from_url(url)
    put_result(store, RESULT)
    put_error(store, FAILED)
    return store


@pytest.fixture
def page(store: OutputStore) -> None:
    """A result with an artifact, of the request ``p1``."""
    save_pages(store, "page.png")


def save_pages(store: OutputStore, *names: str) -> None:
    pages = [FilePart(b"\x89PNG\r\n", "image/png", name) for name in names]
    saver_of(store).save("p1", {"pages": pages})


@pytest.mark.parametrize("command", ["get", "wait"])
def test_result_reads_well(command_line: CommandLine, command: str) -> None:
    outcome = command_line.run("results", command, "r1")
    assert (outcome.code, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[:4] == [
        "request     r1",
        "model       m",
        "deployment  -",
        "written     2026-01-01 12:00:00 UTC",
    ]
    assert "\x1b" not in outcome.stdout
    assert "\x9b" not in outcome.stdout
    assert "größer" in outcome.stdout
    assert json.loads("\n".join(lines[4:])) == RESULT.data


@pytest.mark.parametrize("command", ["get", "wait"])
def test_result_as_json_is_what_is_stored(command_line: CommandLine, command: str) -> None:
    outcome = command_line.run("results", command, "r1", "--json")
    assert (outcome.code, outcome.stdout) == (0, RESULT.model_dump_json() + "\n")


@pytest.mark.parametrize("command", ["get", "wait"])
def test_failed_request_fails_the_command(command_line: CommandLine, command: str) -> None:
    outcome = command_line.run("results", command, "r2")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == "request r2 failed: MODEL_PREDICT_ERROR: no page"
    outcome = command_line.run("results", command, "r2", "--json")
    assert (outcome.code, outcome.stderr) == (1, "")
    assert AsyncPredictResult.model_validate_json(outcome.stdout) == FAILED


def test_unknown_and_damaged_are_one_line(command_line: CommandLine, store: OutputStore) -> None:
    outcome = command_line.run("results", "get", "r3", "--json")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == f"there is no object {store.url}/r3.json"
    put_foreign(store, "r3", b"{")
    outcome = command_line.run("results", "get", "r3")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "r3.json is not an async predict result" in outcome.error_line


def test_wait_that_is_in_vain_is_one_line(command_line: CommandLine, store: OutputStore) -> None:
    outcome = command_line.run("results", "wait", "r3", "--timeout-seconds", "0")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.error_line == f"request r3 has no result in {store.url} after 0 s"


def test_store_option_wins_over_the_environment(command_line: CommandLine, tmp_path: Path) -> None:
    outcome = command_line.run("results", "get", "r1", "--store", (tmp_path / "other").as_uri())
    assert (outcome.code, "/other;" in outcome.error_line) == (2, True)
    command_line.set(TRUSS_ASYNC_STORE=(tmp_path / "another").as_uri())
    assert "/another;" in command_line.run("results", "get", "r1").error_line


def test_list_shows_results_the_newest_last(command_line: CommandLine, store: OutputStore) -> None:
    put_result(store, RESULT.model_copy(update={"request_id": "r0"}))
    outcome = command_line.run("results", "list")
    assert (outcome.code, outcome.stderr) == (0, "")
    rows = [line.split() for line in outcome.stdout.splitlines()]
    size = str(len(RESULT.model_dump_json().encode()))
    assert [row[3:] for row in rows] == [[size, "r1"], [size, "r0"]]
    assert all(row[2] == "UTC" for row in rows)


def test_list_as_json_is_one_result_a_line(command_line: CommandLine, store: OutputStore) -> None:
    outcome = command_line.run("results", "list", "--json")
    (info,) = store.list()
    assert info.modified_at is not None
    assert [json.loads(line) for line in outcome.stdout.splitlines()] == [
        {"request_id": "r1", "size_bytes": info.size_bytes, "modified_at": info.modified_at.isoformat()}
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--since", "1h"], 1),
        (["--since", "99999d"], 1),
        (["--since", "2026-01-31T12:00Z"], 1),
        (["--since", "2026-01-31"], 1),
        (["--since", "2999-01-01T00:00:00+02:00"], 0),
        (["--prefix", "r1"], 1),
        (["--prefix", "r2"], 0),
    ],
)
def test_list_is_narrowed(command_line: CommandLine, arguments: list[str], expected: int) -> None:
    outcome = command_line.run("results", "list", *arguments)
    assert (outcome.code, len(outcome.stdout.splitlines())) == (0, expected)


def test_open_writes_the_artifact_to_a_file_of_its_name(command_line: CommandLine, page: None) -> None:
    outcome = command_line.run("results", "open", "p1")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "page.png\n", "")
    assert (command_line.folder / "page.png").read_bytes() == b"\x89PNG\r\n"


@pytest.mark.parametrize("output", ["new.png", "old.png", "folder", "folder/new.png", "link.png"])
def test_open_writes_where_it_is_told(
    command_line: CommandLine, store: OutputStore, page: None, output: str
) -> None:
    folder = command_line.folder
    (folder / "folder").mkdir()
    (folder / "old.png").write_bytes(b"something longer, of old")
    (folder / "link.png").symlink_to("old.png")
    outcome = command_line.run("results", "open", "p1", "page.png", "--output", output, "--json")
    assert outcome.code == 0
    facts = json.loads(outcome.stdout)
    assert (facts["url"], facts["size_bytes"]) == (f"{store.url}/p1/page.png", 6)
    assert (folder / facts["path"]).read_bytes() == b"\x89PNG\r\n"
    assert (folder / "link.png").is_symlink()
    assert not [*folder.rglob("*.part")]


@pytest.mark.parametrize("output", [["--output", "-"], ["--output=-"]])
def test_open_to_standard_output_writes_the_bytes_alone(
    command_line: CommandLine, page: None, output: list[str]
) -> None:
    with command_line.started("results", "open", "p1", *output) as process:
        assert isinstance(process.stdout, io.TextIOWrapper)
        assert process.stdout.buffer.read() == b"\x89PNG\r\n"
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["r9"], 1, "there are no artifacts of r9 in file:///"),
        (["p1", "absent.png"], 1, "there is no artifact absent.png of p1 in file:///"),
        (["p1", "--output", "absent/page.png"], 2, "--output: there is no folder absent"),
        (["p1", "--output", "/dev/null"], 2, "--output: /dev/null is not a file"),
    ],
)
def test_open_that_fails_is_one_line(
    command_line: CommandLine, page: None, arguments: list[str], code: int, message: str
) -> None:
    outcome = command_line.run("results", "open", *arguments)
    assert (outcome.code, outcome.stdout) == (code, "")
    assert message in outcome.error_line
    assert not (command_line.folder / "absent.png").exists()


def test_open_asks_which_of_several(command_line: CommandLine, store: OutputStore) -> None:
    save_pages(store, "page.png", "a.png")
    outcome = command_line.run("results", "open", "p1")
    assert outcome.code == 2
    assert outcome.error_line == "request p1 has 2 artifacts; give the NAME of one: a.png, page.png"


def test_rm_removes_all_of_the_requests(command_line: CommandLine, store: OutputStore) -> None:
    outcome = command_line.run("results", "rm", "r1", "never-there")
    assert (outcome.code, outcome.stdout) == (0, "removed r1\nremoved never-there\n")
    assert [*store.list()] == []
    assert store.artifacts("r1") == ()
    outcome = command_line.run("results", "rm", "r2", "--json")
    assert json.loads(outcome.stdout) == {"request_id": "r2", "removed": True}
    assert [*(command_line.folder / "outputs").glob("*.json")] == []


def test_rm_with_one_bad_request_id_removes_nothing(command_line: CommandLine, store: OutputStore) -> None:
    assert command_line.run("results", "rm", "r1", "../r2").code == 2
    assert store.get("r1") == RESULT


def test_result_under_a_template_is_found_with_the_models_own_settings(command_line: CommandLine) -> None:
    folder = command_line.folder / "dated" / "2020" / "01" / "31" / "r1"
    folder.mkdir(parents=True)
    page = {
        "type": "artifact",
        "url": "s3://moved/r1/r1/page.png",
        "content_type": "image/png",
        "size_bytes": 3,
    }
    (folder / "out.json").write_text(json.dumps({"page": page}))
    (folder / "r1").mkdir()
    (folder / "r1" / "page.png").write_bytes(b"png")
    root = (command_line.folder / "dated").as_uri()
    command_line.set(
        TRUSS_ASYNC_OUTPUT_URL=f"{root}/{{date:%Y/%m/%d}}",
        TRUSS_ASYNC_OUTPUT_KEY="{request_id}/out.json",
        TRUSS_ASYNC_OUTPUT_FORMAT="raw",
    )
    outcome = command_line.run("results", "get", "r1", "--json")
    assert (outcome.code, json.loads(outcome.stdout)["data"]) == (0, {"page": page})
    assert "r1" in command_line.run("results", "list").stdout
    assert command_line.run("results", "open", "r1", "page.png", "--output=-").stdout == "png"
    outcome = command_line.run("results", "get", "r2")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "there is no result of r2 in" in outcome.stderr
    assert command_line.run("results", "rm", "r1").code == 0
    assert command_line.run("results", "list").stdout == ""


def test_json_on_a_terminal_plays_no_tricks_there(
    command_line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    outcome = command_line.run("results", "get", "r1", "--json")
    assert "\x9b" not in outcome.stdout
    assert AsyncPredictResult.model_validate_json(outcome.stdout) == RESULT


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_json_stays_json_on_an_output_that_is_not_utf_8(
    command_line: CommandLine, store: OutputStore, encoding: str
) -> None:
    data = {"text": "größer → 日本 😀 é"}
    put_result(store, RESULT.model_copy(update={"data": data}))
    command_line.set(PYTHONIOENCODING=encoding)
    for options in ((), ("--json",)):
        done = subprocess.run(
            [COMMAND, "results", "get", "r1", *options],
            capture_output=True,
            check=True,
            timeout=DEADLINE_SECONDS,
        )
        text = done.stdout.decode(encoding)
        assert data["text"] in json.dumps(json.loads(text[text.index("{") :]), ensure_ascii=False)


def test_what_failed_is_listed_with_its_error(command_line: CommandLine, store: OutputStore) -> None:
    raised = {"type": "KeyError", "traceback": "Traceback (most recent call last):\n  …\nKeyError: 7"}
    error = ErrorDetail(code="MODEL_PREDICT_ERROR", message="Internal Server Error", **raised)
    put_error(store, FAILED.model_copy(update={"request_id": "r3", "errors": [error]}))
    put_error(store, FAILED.model_copy(update={"request_id": "r1"}))  # which succeeded at another attempt
    outcome = command_line.run("results", "list", "--failed")
    assert outcome.code == 0
    lines = sorted(line.split("  ")[-2:] for line in outcome.stdout.splitlines())
    assert lines == [
        ["r2", "MODEL_PREDICT_ERROR: no page"],
        ["r3", "MODEL_PREDICT_ERROR: KeyError: 7"],
    ]
    facts = map(json.loads, command_line.run("results", "list", "--failed", "--json").stdout.splitlines())
    told = {each["request_id"]: each["errors"][0] for each in facts}
    assert told["r3"]["traceback"] == raised["traceback"]
    shown = command_line.run("results", "get", "r3")
    assert (shown.code, shown.stdout) == (1, "")
    assert shown.stderr.splitlines()[:3] == raised["traceback"].splitlines()
