"""Request ids as people have them: in a file, on standard input, in the ledger of a batch, in a folder of ``listen --keep``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..errors import SettingsError
from .batch.opening import opened_ledger
from .batch.verdicts import LOST
from .inbox import Inbox
from .reconcile import Reconciled

if TYPE_CHECKING:
    from .batch.ledger import Ledger
    from .reconcile import State

_SQLITE: Final = b"SQLite format 3\0"
_COMMENT: Final = "#"
_KEYS: Final = ("request_id", "id")
_LINES: Final = (
    "SELECT request_id, state, code, message FROM lines WHERE request_id IS NOT NULL ORDER BY number"
)


def is_ledger(path: Path) -> bool:
    """Whether it is a file of SQLite, as ledgers are."""
    try:
        with path.open("rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def ids_of_lines(lines: Iterable[str], *, what: str) -> Iterator[str]:
    """One id a line; of a line of JSON, its ``request_id``, as `submit --json` and the rows of a batch have it.

    Blank lines, and those that begin with #, are left out.

    Raises:
        SettingsError: a line has none.
    """
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith(_COMMENT):
            continue
        request_id = _id_of_json(text) if text.startswith("{") else text
        if request_id is None or any(each.isspace() for each in request_id):
            raise SettingsError(f"{what}, line {number}: there is no request id in it")
        yield request_id


def ids_of_inbox(folder: Path, *, since: datetime | None) -> Iterator[str]:
    """Those of the results that a folder has kept since then."""
    return (each.request_id for each in Inbox(folder).kept(since=since))


def lines_of_ledger(path: Path) -> tuple[list[Reconciled], list[str]]:
    """What the ledger knows of the lines that became a request, and the ids of those that are open.

    Raises:
        LedgerError: it is no ledger.
    """
    ledger = opened_ledger(path)
    try:
        return _known_and_open(ledger)
    finally:
        ledger.close()


def _known_and_open(ledger: Ledger) -> tuple[list[Reconciled], list[str]]:
    known: list[Reconciled] = []
    still_open: list[str] = []
    for row in ledger.connection.execute(_LINES):
        if row["state"] == "done":
            known.append(Reconciled(row["request_id"], "result", "in the output of the batch"))
        elif row["state"] == "failed":
            state: State = "lost" if row["code"] == LOST else "failed"
            hint = f"{row['code']}: {row['message']}; `batch retry` submits it again"
            known.append(Reconciled(row["request_id"], state, hint))
        else:
            still_open.append(row["request_id"])
    return known, still_open


def _id_of_json(text: str) -> str | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    response = values.get("response")
    places = (response, values) if isinstance(response, dict) else (values,)
    found = (each.get(key) for each in places for key in _KEYS)
    return next((each for each in found if isinstance(each, str) and each), None)
