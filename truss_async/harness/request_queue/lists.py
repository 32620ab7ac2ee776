"""Finds requests by what is asked of them, without looking at all: an index leads to those of each class, by their order."""

from __future__ import annotations

from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from ...contract import RequestStatus
from .queries import queries
from .rows import found_request, micros

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator

    from .protocol import FoundRequest, RequestFilter

MAX_LOOKED_THROUGH: Final = 10_000
"""So many requests whose ids begin alike are looked through, one by one; of more, the latest are looked for."""
_FIRST_OF_CLASS: Final = 4
_GROWTH: Final = 4
_BEYOND_ALL: Final = 2**63 - 1
_BEYOND_ALL_LETTERS: Final = "\U0010ffff"
_OPEN: Final = (RequestStatus.QUEUED.value, RequestStatus.IN_PROGRESS.value)
_CLASS: Final = ("status", "webhook_status", "priority", "deployment_id")

_SQL = queries()


def ids_between(prefix: str) -> dict[str, str]:
    """What queries ask of an id that begins so."""
    return {"prefix": prefix, "beyond": prefix + _BEYOND_ALL_LETTERS}


def search(
    connection: sqlite3.Connection, which: RequestFilter, *, before: int | None, limit: int
) -> list[FoundRequest]:
    """Up to ``limit`` of those requests, the latest first, from before an order."""
    values: dict[str, Any] = {
        "first": 0 if which.since is None else _accepted_since(connection, micros(which.since)),
        "before": _BEYOND_ALL if before is None else before,
        "over_after": micros(which.over_after),
        "since": 0 if which.since is None else micros(which.since),
        "limit": limit,
        **ids_between(which.id_prefix),
    }
    few = _beginning_alike(connection, which.id_prefix)
    orders = _latest(connection, which, values) if few is None else few
    rows = (row for seq in orders for row in connection.execute(_SQL["found"], {"seq": seq}))
    fitting = rows if few is None else (row for row in rows if _fits(row, which, values))
    return [found_request(row) for row in islice(fitting, limit)]


def oldest_open(connection: sqlite3.Connection) -> FoundRequest | None:
    """The request that was accepted before all others that are queued or in progress."""
    firsts = [
        connection.execute(_SQL["oldest_of_class"], each).fetchone()["seq"]
        for each in map(dict, connection.execute(_SQL["classes"]))
        if each["status"] in _OPEN
    ]
    found = connection.execute(_SQL["found"], {"seq": min(firsts, default=0)}).fetchone()
    return None if found is None else found_request(found)


def _latest(connection: sqlite3.Connection, which: RequestFilter, values: dict[str, Any]) -> Iterable[int]:
    """The orders of those requests, the latest first: of each class of which they can be, and then of all together."""
    asked = _asked_class(which)
    if not asked:
        return [row["seq"] for row in connection.execute(_SQL["latest_of_all"], values)]
    return merge(
        *(
            _latest_of_class(connection, {**values, **each})
            for each in map(dict, connection.execute(_SQL["classes"]))
            if asked.items() <= each.items()
        ),
        reverse=True,
    )


def _latest_of_class(connection: sqlite3.Connection, values: dict[str, Any]) -> Iterator[int]:
    """The orders of a class, the latest first; a few at first, for of many classes each has but a few of the latest."""
    before, limit = values["before"], _FIRST_OF_CLASS
    while True:
        asked = {**values, "before": before, "limit": limit}
        found = [row["seq"] for row in connection.execute(_SQL["latest_of_class"], asked)]
        yield from found
        if len(found) < limit:
            return
        before, limit = found[-1], limit * _GROWTH


def _beginning_alike(connection: sqlite3.Connection, prefix: str) -> list[int] | None:
    """The orders of those whose ids begin so, the latest first; None: they are too many to look at each."""
    if not prefix:
        return None
    values = {**ids_between(prefix), "limit": MAX_LOOKED_THROUGH + 1}
    found = [row["seq"] for row in connection.execute(_SQL["beginning_with"], values)]
    return None if len(found) > MAX_LOOKED_THROUGH else sorted(found, reverse=True)


def _asked_class(which: RequestFilter) -> dict[str, object]:
    asked = (
        which.status and which.status.value,
        which.webhook_status and which.webhook_status.value,
        which.priority,
        which.deployment_id,
    )
    return {name: value for name, value in zip(_CLASS, asked, strict=True) if value is not None}


def _fits(row: sqlite3.Row, which: RequestFilter, values: dict[str, Any]) -> bool:
    """The same as what the queries ask, of a request that was found by its id."""
    is_known = row["over_at"] is None or row["over_at"] > values["over_after"]
    is_on_the_page = row["seq"] < values["before"] and row["created_at"] >= values["since"]
    return (
        is_known and is_on_the_page and all(row[name] == value for name, value in _asked_class(which).items())
    )


def _accepted_since(connection: sqlite3.Connection, since: int) -> int:
    """An order from which on requests were accepted since that moment.

    It is found by halving, for the clock of a run goes forward. (Where it was behind in a later run, requests of the run
    before that are dated in its future may be left out.)
    """
    first, end = 0, (connection.execute(_SQL["last_order"]).fetchone()["seq"] or 0) + 1
    while first < end:
        middle = (first + end) // 2
        row = connection.execute(_SQL["accepted_from"], {"seq": middle}).fetchone()
        if row is not None and row["created_at"] < since:
            first = row["seq"] + 1
        else:
            end = middle
    return first
