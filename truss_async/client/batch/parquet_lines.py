"""Parquet, read and written as the JSON lines of a batch."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from ...contract.json_text import parse, write
from ...stores.table.columns import arrow
from ...stores.table.parquet_files import parquet

if TYPE_CHECKING:
    from pyarrow import Schema

PARQUET: Final = ".parquet"

_ROWS: Final = 1000
_BATCH_BYTES: Final = 32 * 1024 * 1024
_FOR: Final = "a batch in Parquet"


@contextmanager
def parquet_lines(file: BinaryIO, mode: str) -> Iterator[BinaryIO]:
    """The rows of a Parquet file as JSON lines, to read; or the lines of an output, to be written as its rows.

    An input's row is the model input. With a column ``model_input`` it is a request, and a field that is null is not
    given; with ``custom_id`` and ``body``, a line of OpenAI's Batch format. Bytes are base64. An output's columns are the
    fields of its lines, ``response.body`` as JSON text.

    Raises:
        ValueError: it is no Parquet file.
        MissingExtraError: pyarrow is not installed.
    """
    arrow(purpose=_FOR)
    if "r" in mode:
        with _seekable(file) as copy, _as_value_error():
            lines = _lines_of(parquet().ParquetFile(copy))
            yield cast("BinaryIO", io.BufferedReader(_Lines(lines)))
        return
    with tempfile.TemporaryFile(prefix="truss-async-") as lines_file:
        yield cast("BinaryIO", lines_file)
        lines_file.seek(0)
        schema = _output_schema()
        with parquet().ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in _in_groups(lines_file):
                writer.write_batch(arrow().RecordBatch.from_pylist(rows, schema=schema))


class _Lines(io.RawIOBase):
    """Lines that are made as they are read."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._lines, b"")
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file, or a copy of what can only be read from one end to the other."""
    if file.seekable():
        yield file
        return
    with tempfile.TemporaryFile(prefix="truss-async-") as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield cast("BinaryIO", copy)


@contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except arrow().ArrowException as error:
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"it is no whole {PARQUET} file: {first_line}") from None


def _lines_of(file: Any) -> Iterator[bytes]:
    is_request = "model_input" in file.schema_arrow.names
    for batch in file.iter_batches(batch_size=_ROWS):
        for row in batch.to_pylist():
            if is_request:
                row = {
                    name: value for name, value in row.items() if value is not None or name == "model_input"
                }
            yield write(row, bytes_mode="base64", inf_nan_mode="constants") + b"\n"


def _in_groups(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    """The rows of an output, so many at a time that they take little memory."""
    rows: list[dict[str, Any]] = []
    size = 0
    for line in lines:
        rows.append(_output_row(line))
        size += len(line)
        if len(rows) >= _ROWS or size >= _BATCH_BYTES:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _output_row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = parse(line)
    response = row.get("response")
    if response is not None:
        row["response"] = {**response, "body": write(response["body"], inf_nan_mode="null").decode()}
    return row


def _output_schema() -> Schema:
    pa = arrow()
    text = pa.string()
    response = pa.struct([("status_code", pa.int64()), ("request_id", text), ("body", text)])
    error = pa.struct([("code", text), ("message", text)])
    return pa.schema([("id", text), ("custom_id", text), ("response", response), ("error", error)])
