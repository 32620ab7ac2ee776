"""``results export`` and ``results compact``, on a folder."""

import csv
import io
import json
from pathlib import Path

import pytest
from pyarrow import parquet

from tests.outputs import put_error, put_foreign, put_result
from tests.unit.cli.conftest import CommandLine
from tests.unit.cli.test_results import FAILED, RESULT
from truss_async.stores import OutputStore

COLUMNS = ["request_id", "model_id", "deployment_id", "time", "status", "data", "errors", "artifacts"]


@pytest.fixture(autouse=True)
def store(command_line: CommandLine) -> OutputStore:
    """The store that the environment names: a result and a failure."""
    url = (command_line.folder / "outputs").as_uri()
    command_line.set(TRUSS_ASYNC_OUTPUT_URL=url)
    store = OutputStore.from_url(url)
    put_result(store, RESULT)
    put_error(store, FAILED)
    return store


def test_parquet_has_the_columns(command_line: CommandLine) -> None:
    outcome = command_line.run("results", "export", "--out", "all.parquet")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (
        0,
        "wrote 2 results (1 failed) to all.parquet\n",
        "",
    )
    table = parquet.read_table(command_line.folder / "all.parquet")
    assert table.column_names == COLUMNS
    assert sorted(table["status"].to_pylist()) == ["FAILED", "SUCCEEDED"]


def test_json_lines_go_to_standard_output(command_line: CommandLine) -> None:
    outcome = command_line.run("results", "export", "--out=-", "--format", "jsonl")
    rows = {row["request_id"]: row for row in map(json.loads, outcome.stdout.splitlines())}
    assert list(rows["r1"]) == COLUMNS
    assert json.loads(rows["r1"]["data"]) == RESULT.data
    assert rows["r1"]["time"] == "2026-01-01T12:00:00.000000+00:00"
    assert rows["r2"]["errors"] == [{"code": "MODEL_PREDICT_ERROR", "message": "no\npage", "traceback": None}]


def test_csv_is_read_back(command_line: CommandLine) -> None:
    outcome = command_line.run("results", "export", "--out=-", "--format", "csv")
    r1, r2 = sorted(csv.DictReader(io.StringIO(outcome.stdout)), key=lambda row: row["request_id"])
    assert list(r1) == COLUMNS
    assert json.loads(r1["data"]) == RESULT.data
    assert (r2["data"], json.loads(r2["errors"])[0]["message"]) == ("", "no\npage")


def test_empty_export_has_a_header_and_no_row(command_line: CommandLine) -> None:
    nothing = ("results", "export", "--store", (command_line.folder / "empty").as_uri())
    assert command_line.run(*nothing, "--out", "none.parquet").stdout == "wrote 0 results to none.parquet\n"
    assert parquet.read_table(command_line.folder / "none.parquet").column_names == COLUMNS
    assert command_line.run(*nothing, "--format", "csv", "--out=-").stdout == ",".join(COLUMNS) + "\n"


def test_failed_and_since_choose(command_line: CommandLine) -> None:
    outcome = command_line.run(
        "results", "export", "--failed", "--since", "1h", "--out", "failed.jsonl", "--json"
    )
    assert json.loads(outcome.stdout) == {"results": 1, "failed": 1, "damaged": 0, "out": "failed.jsonl"}
    outcome = command_line.run("results", "export", "--since", "2100-01-01", "--out", "none.csv")
    assert outcome.stdout == "wrote 0 results to none.csv\n"


def test_url_is_written_by_its_store(command_line: CommandLine) -> None:
    url = (command_line.folder / "reports" / "all.parquet").as_uri()
    assert command_line.run("results", "export", "--out", url).code == 0
    assert parquet.read_table(command_line.folder / "reports" / "all.parquet").num_rows == 2


def test_export_that_fails_leaves_what_was_there(command_line: CommandLine, store: OutputStore) -> None:
    (command_line.folder / "all.csv").write_text("before")
    table = command_line.folder / "table"
    command_line.run("results", "compact", "--into", table.as_uri())
    (file,) = table.glob("data/*/results.parquet")
    file.write_bytes(b"damaged")
    outcome = command_line.run("results", "export", "--table", table.as_uri(), "--out", "all.csv")
    assert outcome.code == 1
    assert "results.parquet is not a complete Parquet file" in outcome.error_line
    assert (command_line.folder / "all.csv").read_text() == "before"
    assert [path.name for path in command_line.folder.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--out", "all"], "--format: give parquet, jsonl or csv; the name 'all' ends with none of them"),
        (["--out=-", "--format", "parquet"], "--out: parquet is written to a file or a URL; give --format jsonl or csv for -"),
        (["--out", "outputs", "--format", "csv"], "cannot write outputs: it exists and is not a file; choose another"),
        (["--out", "no/where.csv"], "cannot write no/where.csv: No such file or directory"),
        (["--out", "a.csv", "--since", "soon"], "--since: 'soon' is neither"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line(command_line: CommandLine, arguments: list[str], message: str) -> None:
    outcome = command_line.run("results", "export", *arguments)
    assert outcome.code == 2
    assert outcome.error_line.startswith(message)


def test_compact_says_what_it_did(command_line: CommandLine, store: OutputStore) -> None:
    into = (command_line.folder / "table").as_uri()
    put_foreign(store, "bad", b"")
    outcome = command_line.run("results", "compact", "--into", into)
    assert outcome.stdout == f"3 results into 1 file; {into} has 3 rows; 1 damaged: their status is DAMAGED\n"
    outcome = command_line.run("results", "compact", "--into", into)
    assert outcome.stdout == f"nothing new; {into} has 3 rows\n"
    outcome = command_line.run("results", "compact", "--into", into, "--json")
    assert json.loads(outcome.stdout) == {"results": 0, "files": 0, "rows": 3, "into": into}
    assert Path(command_line.folder, "table", "manifest.json").is_file()
    outcome = command_line.run("results", "export", "--store", into, "--out", "all.parquet")
    assert outcome.stdout == "wrote 3 results (1 failed, 1 damaged) to all.parquet\n"


def test_compact_refuses_the_folder_of_the_results(command_line: CommandLine, store: OutputStore) -> None:
    outcome = command_line.run("results", "compact", "--into", store.url)
    assert outcome.code == 2
    assert "give --into a separate folder" in outcome.error_line
