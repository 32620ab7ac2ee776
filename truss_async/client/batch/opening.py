"""Opening a batch: the ledger of this input, whatever an earlier run has left in its files."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path
from typing import Any, Final

from ...errors import SettingsError
from .input_file import (
    LineFile,
    digest_of,
    digest_of_stream,
    is_plain,
    is_stream,
    local_copy,
)
from .journal import NEVER_ANSWERED
from .ledger import Ledger
from .locations import check_locations, told
from .row_file import RowFile
from .rows import error_row
from .settings import BatchFiles, BatchSettings
from .stored_settings import SETTINGS, located, stored_form, stored_settings
from .survey import entries, survey

_DIGEST: Final = "digest"


class OpenBatch:
    """The ledger with all lines in it, and the files, as the ledger says they are.

    ``reads_copy``: the input need not be there any more if there is a copy of it. ``checks``: refuse all of it if the
    platform would refuse one line. Whoever opens it holds the lock.

    Raises:
        SettingsError: the input is none, or another one than the ledger's; the output is somebody else's.
        LedgerError: the ledger cannot be used.
    """

    def __init__(self, settings: BatchSettings, *, reads_copy: bool = False, checks: bool = False) -> None:
        self.settings = settings = located(settings)
        self.files = BatchFiles(settings)
        check_locations(settings, self.files)
        is_durable = settings.durability == "full"
        self.ledger = Ledger(self.files.ledger, is_durable=is_durable, may_create=True)
        try:
            self._check_values()
            self.input = self._local_input(reads_copy=reads_copy)
            if checks:
                self._check_lines()
            self._enter()
            self.ledger.count(limit=settings.limit)
            self.results = RowFile(results_path(self.files, settings), is_durable=is_durable)
            self.errors = RowFile(errors_path(self.files), is_durable=False)  # made anew from the ledger
            self._resume()
            self.lines = LineFile(self.input)
        except BaseException:
            self.close_ledger()
            raise

    def close_ledger(self) -> None:
        """Close the ledger, and leave none behind of a batch that never began."""
        was_entered = self.ledger.is_entered
        self.ledger.close()
        if not was_entered:
            for suffix in ("", "-wal", "-shm"):
                self.files.ledger.with_name(self.files.ledger.name + suffix).unlink(missing_ok=True)
            self.files.input_copy.unlink(missing_ok=True)

    def _check_values(self) -> None:
        if not self.ledger.is_entered:
            for path in (self.settings.out, self.files.errors):
                if is_plain(path) and Path(path).exists():
                    raise SettingsError(
                        f"{path} is there already, and {self.files.ledger} knows nothing of it; move it away, or name another"
                    )
            return
        known = stored_settings(self.ledger)
        for name in ("out", "ordered", "bare"):
            if getattr(known, name) != getattr(self.settings, name):
                raise SettingsError(
                    f"the ledger {self.files.ledger} is of a batch with another --{name} ({getattr(known, name)}); "
                    "give the same, or another --ledger"
                )

    def _local_input(self, *, reads_copy: bool) -> Path:
        source, copy = self.settings.input, self.files.input_copy
        if not self.ledger.is_entered or is_plain(source):
            return local_copy(source, copy)
        if not copy.exists():
            return local_copy(source, copy)
        if is_stream(source) and not reads_copy:
            self._check_digest(digest_of_stream(source))
        return copy

    def _check_lines(self) -> None:
        found = survey(str(self.input), self.settings)
        if found.bad:
            told = "; ".join(f"line {number}: {why}" for number, why in found.problems)
            raise SettingsError(f"{found.bad} of {found.lines} lines would be refused: {told}")

    def _enter(self) -> None:
        if self.ledger.is_entered:
            self._check_digest(digest_of(self.input))
            self.ledger.set_value(SETTINGS, stored_form(self.settings, self.ledger))
            return
        digest = hashlib.sha256()
        values: dict[str, Any] = {SETTINGS: stored_form(self.settings, self.ledger)}

        def finished() -> dict[str, Any]:
            return {**values, _DIGEST: digest.hexdigest()}

        self.ledger.enter(entries(self.input, bare=self.settings.bare, note=digest.update), values=finished)

    def _check_digest(self, digest: str) -> None:
        if digest != self.ledger.value(_DIGEST):
            raise SettingsError(
                f"{told(self.settings.input)} is another input than that of the ledger {self.files.ledger}; "
                "give that one, or another --out for this one"
            )

    def _resume(self) -> None:
        """Bring files and ledger to one state: what is not whole is cut off, what was not answered waits again."""
        ledger = self.ledger
        self._check_results()
        ledger.connection.execute("BEGIN IMMEDIATE")
        try:
            self.results.cut_back(ledger.end_of_rows(size=self.results.size))
            for line in ledger.open_lines():
                if line.request_id is None:
                    ledger.give_back_unanswered(line, never=NEVER_ANSWERED)
            ledger.connection.execute("COMMIT")
        finally:
            if ledger.connection.in_transaction:
                ledger.connection.execute("ROLLBACK")
        ledger.count(limit=self.settings.limit)
        self.rewrite_errors()

    def _check_results(self) -> None:
        path = self.results.path
        if self.ledger.counts["done"] and not path.exists():
            raise SettingsError(
                f"{path} is gone, and with it {self.ledger.counts['done']} results; put it back, "
                f"or remove {self.files.ledger} to run the whole batch anew"
            )

    def rewrite_errors(self) -> None:
        """Make the errors file of the lines that have failed by now."""
        failed = self.ledger.failed_lines()
        self.errors.rewrite(
            error_row(each.custom_id, each.request_id, code=each.code, message=each.message)
            for each in failed
        )


def results_path(files: BatchFiles, settings: BatchSettings) -> Path:
    """Where results are written as they come: the output itself, if it can grow in its final form."""
    return Path(settings.out) if is_plain(settings.out) and not settings.ordered else files.results


def errors_path(files: BatchFiles) -> Path:
    """The same for the lines that fail."""
    return Path(files.errors) if is_plain(files.errors) else files.failures


def opened_ledger(path: Path) -> Ledger:
    """A ledger that is there, to read.

    Raises:
        LedgerError: it is none.
    """
    ledger = Ledger(path)
    try:
        if not ledger.is_entered:
            raise SettingsError(f"{path} is the ledger of a batch that never began; remove it")
        ledger.count()
    except (sqlite3.Error, SettingsError):
        ledger.close()
        raise
    return ledger
