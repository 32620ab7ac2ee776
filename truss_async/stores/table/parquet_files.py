"""The files of a table: one for each hour, or day, in which results were stored."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ...errors import InvalidResultError
from .columns import STORED_AT, arrow, moment_of, result_schema, stored_schema
from .result_rows import BATCH_ROWS

if TYPE_CHECKING:
    from pyarrow import RecordBatch

    from ..protocol import ObjectStore

Span: TypeAlias = Literal["hour", "day"]

CONTENT_TYPE: Final = "application/vnd.apache.parquet"

_NAMES: Final[dict[Span, str]] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d"}
_FOLDER: Final = "data"
"""Nothing but the files is below: readers that take a whole folder can be given it."""
_KEY: Final = re.compile(r"data/(hour=\d{4}-\d\d-\d\dT\d\d|day=\d{4}-\d\d-\d\d)/results\.parquet")
_COPY_BYTES: Final = 1024 * 1024


def partition_of(stored_at_us: int, span: Span) -> str:
    """``hour=2026-01-31T12``: as DuckDB, Polars and Arrow read a column from a folder's name."""
    return f"{span}={moment_of(stored_at_us):{_NAMES[span]}}"


def file_key(partition: str) -> str:
    """Where the file of a partition lies."""
    return f"{_FOLDER}/{partition}/results.parquet"


def listed_partitions(table: ObjectStore) -> dict[str, int]:
    """The partitions that have a file, and its size."""
    listed = {
        found[1]: info.size_bytes
        for span in _NAMES
        for info in table.list(f"{_FOLDER}/{span}=")
        if (found := _KEY.fullmatch(info.key))
    }
    return dict(sorted(listed.items()))


@contextmanager
def opened_file(table: ObjectStore, partition: str) -> Iterator[Any]:
    """The ParquetFile of a partition, of a local copy.

    Raises:
        ObjectNotFoundError: there is none.
        InvalidResultError: it is cut off, or no file of a table.
    """
    pq = parquet()
    key = file_key(partition)
    with tempfile.TemporaryFile(prefix="truss-async-") as copy:
        with table.open(key) as source:
            shutil.copyfileobj(source, copy, _COPY_BYTES)
        copy.seek(0)
        try:
            file = pq.ParquetFile(copy)
            fits = file.schema_arrow.equals(stored_schema())
        except arrow().ArrowException as error:
            raise InvalidResultError(
                f"{table.url}/{key} is not a complete Parquet file: {_first_line(error)}; move it away, and compact again"
            ) from None
        if not fits:
            raise InvalidResultError(
                f"{table.url}/{key} has other columns than a table of results; move it away, and compact again"
            )
        yield file


def batches_of(file: Any, *, columns: list[str] | None = None) -> Iterator[RecordBatch]:
    """What is in it, a little at a time; of those columns alone."""
    yield from file.iter_batches(batch_size=BATCH_ROWS, columns=columns)


@contextmanager
def written_file(batches: Iterable[RecordBatch]) -> Iterator[Path]:
    """A local file of these batches; it goes with the block."""
    with tempfile.TemporaryDirectory(prefix="truss-async-") as folder:
        path = Path(folder, "results.parquet")
        with path.open("wb") as target:
            write_parquet(target, batches, schema=stored_schema())
        yield path


def write_parquet(target: Any, batches: Iterable[RecordBatch], *, schema: Any) -> int:
    """Write the batches to an open file, compressed; how many rows there are."""
    rows = 0
    with parquet().ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def without_stored_at(batch: RecordBatch) -> RecordBatch:
    """With the columns of a result alone."""
    return batch.select(result_schema().names)


def ids_in(batch: RecordBatch) -> list[str]:
    """The request ids."""
    ids: list[str] = batch.column("request_id").to_pylist()
    return ids


def stored_at_in(batch: RecordBatch) -> list[int | None]:
    """When the objects of the rows were written, in microseconds."""
    stored: list[int | None] = batch.column(STORED_AT).cast(arrow().int64()).to_pylist()
    return stored


def keep(batch: RecordBatch, is_kept: list[bool] | None) -> RecordBatch:
    """Those of its rows; None: all."""
    return (
        batch
        if is_kept is None or all(is_kept)
        else batch.filter(arrow().array(is_kept, type=arrow().bool_()))
    )


def parquet() -> Any:
    """The library; MissingExtraError when it is not there."""
    arrow()
    from pyarrow import parquet

    return parquet


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
