"""``truss-async results export`` and ``compact``: results as a table."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, BinaryIO

from ..errors import SettingsError
from ..printable import printable
from ..stores.table.exporting import TableFormat, format_of, opened_target, write_table
from ..stores.table.parquet_files import Span
from ..stores.table.row_counts import RowCounts
from .options import AsJson, flag, own_option
from .store_location import Since, StoreLocation, TableLocation, earliest

STANDARD_OUTPUT = ("-", "@-")


def export_results(
    *,
    location: TableLocation,
    out: Annotated[str, own_option("out", "File or URL to write, or - for standard output (jsonl, csv).")],
    format: Annotated[
        TableFormat | None,
        own_option("table_format", "Table format. By default, from the file extension of OUT."),
    ] = None,
    table: Annotated[
        str | None,
        own_option(
            "table",
            "URL of a table that `results compact` wrote. Its rows are read from there instead of the objects.",
        ),
    ] = None,
    since: Since = None,
    failed: Annotated[bool, flag("results_failed", "Only failed requests, with their errors.")] = False,
    as_json: AsJson = False,
) -> None:
    """Export all results in a store as one table, one row per request. Needs truss-async[table].

    Columns: request_id, model_id, deployment_id, time, status (SUCCEEDED, FAILED, DAMAGED), data (the output as JSON text),
    errors and artifacts.

    Example:
        truss-async results export --store s3://my-bucket/outputs --out results.parquet
        truss-async results export --store file:///tmp/outputs --since 24h --format csv --out=-
        truss-async results export --store s3://my-bucket/outputs --failed --out s3://my-bucket/reports/failed.jsonl
    """
    chosen = _format(out, format)
    moment = earliest(since) if since is not None else None
    outputs = location.open(table=table)
    counts = RowCounts()
    found = counts.counted(outputs.scan(since=moment, failed=failed))
    with _target(out, chosen) as target:
        write_table(target, found, format=chosen)
    facts = {"results": counts.rows, "failed": counts.failed, "damaged": counts.damaged, "out": out}
    told = json.dumps(facts) if as_json else printable(f"wrote {_told(counts)} to {out}")
    if out not in STANDARD_OUTPUT:
        print(told)


def compact_results(
    *,
    location: StoreLocation,
    into: Annotated[
        str, own_option("into", "URL of a folder for the table alone, such as s3://my-bucket/outputs/table.")
    ],
    every: Annotated[
        Span, own_option("every", "Write one file per hour or per day in which results were stored.")
    ] = "hour",
    as_json: AsJson = False,
) -> None:
    """Compact the results in a store into Parquet files, which are much faster to read. Needs truss-async[table].

    Run it again to add new results. It is safe to interrupt: the next run continues. The original objects are kept.

    Example:
        truss-async results compact --store s3://my-bucket/outputs --into s3://my-bucket/outputs/table
    """
    done = location.open().compact(into, every=every)
    if as_json:
        print(json.dumps({"results": done.results, "files": done.files, "rows": done.rows, "into": into}))
        return
    new = (
        f"{_number(done.results, 'result')} into {_number(done.files, 'file')}"
        if done.files
        else "nothing new"
    )
    damaged = f"; {done.damaged} damaged: their status is DAMAGED" if done.damaged else ""
    print(printable(f"{new}; {into} has {_number(done.rows, 'row')}{damaged}"))


def _format(out: str, given: TableFormat | None) -> TableFormat:
    chosen = given or ("jsonl" if out in STANDARD_OUTPUT else format_of(out))
    if chosen is None:
        raise SettingsError(f"--format: give parquet, jsonl or csv; the name {out!a} ends with none of them")
    if chosen == "parquet" and out in STANDARD_OUTPUT:
        raise SettingsError("--out: parquet is written to a file or a URL; give --format jsonl or csv for -")
    return chosen


@contextmanager
def _target(out: str, format: TableFormat) -> Iterator[BinaryIO]:
    if out in STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with opened_target(out, format=format) as target:
        yield target


def _told(counts: RowCounts) -> str:
    parts = [f"{counts.failed} failed"] * bool(counts.failed) + [f"{counts.damaged} damaged"] * bool(
        counts.damaged
    )
    return _number(counts.rows, "result") + (f" ({', '.join(parts)})" if parts else "")


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")
