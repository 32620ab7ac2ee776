"""From the results that were gathered to the output that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .input_file import publish
from .row_file import reader_of, write_rows

if TYPE_CHECKING:
    from .ledger import Ledger
    from .opening import OpenBatch


def publish_outputs(opened: OpenBatch) -> None:
    """Make the output of what was gathered beside the ledger, if it did not grow in its own place; an empty one, too."""
    opened.results.path.touch()
    if opened.results.path != Path(opened.settings.out):
        if opened.settings.ordered:
            ordered = opened.results.path.with_name(opened.results.path.name + ".ordered")
            write_rows(ordered, rows_in_order(opened.ledger, opened.results.path))
            publish(ordered, opened.settings.out)
            ordered.unlink()
        else:
            publish(opened.results.path, opened.settings.out)
    errors = opened.files.errors
    if opened.errors.path != Path(errors) and opened.errors.path.exists():
        publish(opened.errors.path, errors)


def rows_in_order(ledger: Ledger, results: Path) -> Iterator[bytes]:
    """The row of each line that is done, in the order of the input."""
    read, close = reader_of(results)
    try:
        for start, length in ledger.rows():
            yield read(start, length)
    finally:
        close()
