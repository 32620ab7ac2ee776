"""A batch in Parquet: its rows are lines."""

from __future__ import annotations

import io
import json
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from truss_async.client.batch.input_file import LocationError, is_plain, local_copy, opened, publish
from truss_async.client.batch.lines import BadLineError, parse_line
from truss_async.client.batch.rows import error_row, result_row
from truss_async.contract import AsyncPredictResult

NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def read_back(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def lines_of(table: pa.Table, folder: Path) -> list[Any]:
    """What a batch reads of it."""
    parquet.write_table(table, folder / "in.parquet")
    copy = local_copy(str(folder / "in.parquet"), folder / "copy")
    lines = copy.read_bytes().splitlines()
    return [parse_line(line, number=number, bare=False) for number, line in enumerate(lines, 1)]


def test_row_is_a_model_input(tmp_path: Path) -> None:
    (line,) = lines_of(pa.table({"name": ["Adé"], "n": [None], "image": [b"\xff"], "at": [NOON]}), tmp_path)
    assert line.custom_id == "line-1"
    assert line.fields == {
        "model_input": {"name": "Adé", "n": None, "image": "_w==", "at": "2026-01-01T12:00:00Z"}
    }


def test_row_with_a_model_input_is_a_request(tmp_path: Path) -> None:
    first, second = lines_of(
        pa.table({
            "custom_id": ["a", None], "model_input": [{"name": "Ada"}, {"name": "Alan"}], "priority": [None, 2],
        }),
        tmp_path,
    )  # fmt: skip
    assert (first.custom_id, first.fields) == ("a", {"model_input": {"name": "Ada"}})
    assert (second.custom_id, second.fields) == ("line-2", {"model_input": {"name": "Alan"}, "priority": 2})


def test_many_rows_are_many_lines(tmp_path: Path) -> None:
    lines = lines_of(pa.table({"number": list(range(2500))}), tmp_path)
    assert [line.fields["model_input"]["number"] for line in lines] == list(range(2500))


def test_empty_file_has_no_line(tmp_path: Path) -> None:
    assert lines_of(pa.table({"number": pa.array([], pa.int64())}), tmp_path) == []


def test_number_that_is_none_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(BadLineError, match="it is not JSON"):
        lines_of(pa.table({"score": [float("nan")]}), tmp_path)


@pytest.mark.parametrize("body", [b"", b"PAR1", b'{"a": 1}\n'])
def test_what_is_no_parquet_is_told(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "in.parquet").write_bytes(body)
    with pytest.raises(LocationError, match=r"cannot read .*in\.parquet: it is no whole \.parquet file"):
        local_copy(str(tmp_path / "in.parquet"), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_output_has_the_fields_of_its_lines(tmp_path: Path) -> None:
    result = AsyncPredictResult(request_id="r1", time=NOON, data={"text": "größer", "score": float("nan")})
    lines = [result_row("a", result), error_row("b", None, code="LOST", message="gone")]
    (tmp_path / "rows").write_bytes(b"".join(line + b"\n" for line in lines))
    out = tmp_path / "out.parquet"
    assert not is_plain(str(out))
    publish(tmp_path / "rows", str(out))
    first, second = read_back(out)
    assert json.loads(first["response"].pop("body")) == {"text": "größer", "score": None}
    assert first == {
        "id": "r1", "custom_id": "a", "response": {"status_code": 200, "request_id": "r1"}, "error": None,
    }  # fmt: skip
    assert second == {
        "id": None, "custom_id": "b", "response": None, "error": {"code": "LOST", "message": "gone"},
    }  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet", "rows"]


def test_url_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"n": [1, 2]}), buffer)

    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

    monkeypatch.setattr("smart_open.open", lambda *_, **__: Stream(buffer.getvalue()))
    with opened("s3://bucket/in.parquet", "rb") as file:
        assert file.read() == b'{"n":1}\n{"n":2}\n'


def test_without_pyarrow_the_error_tells_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(LocationError, match=r"pip install 'truss-async\[table\]'"):
        local_copy(str(tmp_path / "in.parquet"), tmp_path / "copy")
