"""A table as one file: Parquet, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias, cast

from ...errors import SettingsError
from ...whole_files import whole_file
from ..urls import object_store
from .columns import arrow, moment_of, result_schema
from .parquet_files import write_parquet

if TYPE_CHECKING:
    from pyarrow import RecordBatch

TableFormat: TypeAlias = Literal["parquet", "jsonl", "csv"]

CONTENT_TYPES: Final[dict[TableFormat, str]] = {
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/jsonl",
    "csv": "text/csv",
}


def format_of(name: str) -> TableFormat | None:
    """The format that a file's name tells."""
    return next((format for format in CONTENT_TYPES if name.lower().endswith(f".{format}")), None)


@contextmanager
def opened_target(out: str, *, format: TableFormat) -> Iterator[BinaryIO]:
    """A file or URL to write to: it is there, whole, when the block has ended well, and as it was when not.

    Raises:
        SettingsError: it cannot be written.
        OutputStoreError: the store of the URL cannot be.
    """
    if "://" in out:
        folder, _, name = out.rpartition("/")
        store = object_store(folder)
        with tempfile.TemporaryFile(prefix="truss-async-") as file:
            yield cast("BinaryIO", file)
            file.seek(0)
            store.put(name, cast("BinaryIO", file), content_type=CONTENT_TYPES[format])
        return
    path = Path(out).absolute()
    if path.is_dir() or (path.exists() and not path.is_file()):
        raise SettingsError(f"cannot write {out}: it exists and is not a file; choose another")
    try:
        with whole_file(path.resolve()) as file:
            yield file
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror or error}") from error


def write_table(target: BinaryIO, batches: Iterable[RecordBatch], *, format: TableFormat) -> int:
    """Write the batches to an open file; how many rows there are.

    In JSON lines and CSV a moment is ISO 8601 in UTC; in CSV, errors and artifacts are JSON text, as ``data`` is everywhere.
    """
    return _WRITERS[format](target, batches)


def _write_parquet(target: BinaryIO, batches: Iterable[RecordBatch]) -> int:
    return write_parquet(target, batches, schema=result_schema())


def _write_json_lines(target: BinaryIO, batches: Iterable[RecordBatch]) -> int:
    count = 0
    for record in _records(batches):
        target.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _write_csv(target: BinaryIO, batches: Iterable[RecordBatch]) -> int:
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    writer = csv.DictWriter(text, result_schema().names, lineterminator="\n")
    writer.writeheader()
    count = 0
    for record in _records(batches):
        for name in ("errors", "artifacts"):
            record[name] = json.dumps(record[name], ensure_ascii=False)
        writer.writerow(record)
        count += 1
    text.detach()  # or it would close the target
    return count


def _records(batches: Iterable[RecordBatch]) -> Iterator[dict[str, Any]]:
    moments = result_schema().names.index("time")
    for batch in batches:
        # As numbers: Arrow needs a table of time zones to make moments of them, which not every machine has.
        numbers = batch.set_column(moments, "time", batch.column("time").cast(arrow().int64()))
        for record in numbers.to_pylist():
            record["time"] = moment_of(record["time"]).isoformat(timespec="microseconds")
            yield record


_WRITERS: Final[dict[TableFormat, Callable[[BinaryIO, Iterable[RecordBatch]], int]]] = {
    "parquet": _write_parquet,
    "jsonl": _write_json_lines,
    "csv": _write_csv,
}
