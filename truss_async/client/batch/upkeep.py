"""What is done with a ledger beside running its batch: asked, retried, exported."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from .input_file import publish
from .opening import opened_ledger, results_path
from .progress import Progress
from .publishing import rows_in_order
from .row_file import write_rows
from .run_lock import RunLock
from .settings import BatchFiles, BatchSettings
from .stored_settings import stored_settings
from .verdicts import EXPIRED, LOST

if TYPE_CHECKING:
    from collections import Counter


def batch_status(path: Path) -> Progress:
    """Where the batch of a ledger stands, whether it runs or not; LedgerError when it is none."""
    with closing(opened_ledger(path)) as ledger:
        counts = ledger.counts
        return Progress(
            lines=counts.total(),
            waiting=counts["waiting"],
            open=counts["open"],
            done=counts["done"],
            failed=counts["failed"],
            submissions=ledger.submissions,
            unanswered=ledger.unanswered,
        )


def batch_settings(path: Path) -> BatchSettings:
    """What the batch of a ledger was told last; LedgerError when it is none."""
    with closing(opened_ledger(path)) as ledger:
        return stored_settings(ledger)


def put_back_failed(path: Path, *, kinds: Collection[str] = ()) -> int:
    """Let failed lines wait again, with all their attempts: those that ``failed``, ``expired`` or were ``lost``, or all.

    Returns how many; the next run submits them.
    """
    settings = batch_settings(path)
    files = BatchFiles(settings)
    own = {"expired": EXPIRED, "lost": LOST}
    lock = RunLock(files.lock, ledger=path)
    try:
        with closing(opened_ledger(path)) as ledger:
            count = ledger.reset_failed([code for kind, code in own.items() if kind in kinds], others=False)
            if not kinds or "failed" in kinds:
                count += ledger.reset_failed([] if not kinds else own.values(), others=True)
            return count
    finally:
        lock.release()


def failed_lines_by_code(path: Path) -> Counter[str]:
    """How many lines have failed, by the code of their error; LedgerError when it is no ledger."""
    with closing(opened_ledger(path)) as ledger:
        return ledger.failed_by_code()


def export_results(path: Path, *, out: str) -> int:
    """Write the results that a ledger knows, in the order of the input; how many there are.

    Raises:
        LedgerError: it is no ledger.
        LocationError: the results are gone, or the output cannot be written.
    """
    settings = batch_settings(path)
    files = BatchFiles(settings)
    aside = files.ledger.with_name(f"{files.ledger.name}.export")
    with closing(opened_ledger(path)) as ledger:
        count = ledger.counts["done"]
        results = results_path(files, settings)
        write_rows(aside, rows_in_order(ledger, results) if count else ())
    try:
        publish(aside, out)
    finally:
        aside.unlink(missing_ok=True)
    return count
