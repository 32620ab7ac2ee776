"""``truss-async reconcile``"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..client.batch import batch_settings
from ..client.batch.input_file import STANDARD_INPUT
from ..client.reconcile import Reconciled
from ..client.reconcile import reconcile as reconciled
from ..client.refusals import one_line
from ..client.request_lists import ids_of_inbox, ids_of_lines, is_ledger, lines_of_ledger
from ..errors import SettingsError
from ..printable import printable
from ..text_files import read_text
from .connection import HARNESS_HERE, Connection
from .kept_inbox import SINCE
from .options import AsJson, own_option, print_json
from .store_location import earliest
from .store_option import STORE

if TYPE_CHECKING:
    from ..client.batch.sources import ResultSource


def reconcile(
    ids: Annotated[
        str,
        Parameter(
            name="IDS",
            help="A file with a request id on each line (or JSON lines with request_id), the ledger of a batch, a folder of "
            "`listen --keep`, or - for standard input.",
        ),
    ],
    /,
    *,
    store: Annotated[
        str | None,
        Parameter.combine(own_option("store", "Look in this output store, or folder, for results."), STORE),
    ] = None,
    inbox: Annotated[
        str | None,
        own_option("inbox", "Look in this folder of `listen --keep`, or file of on_result, for results."),
    ] = None,
    since: Annotated[str | None, SINCE] = None,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Say of each request whether its result is there, whether it failed, is lost or still open, and what to do.

    Results are looked for first, without --store and --inbox where the ledger or the folder has them; of what has none,
    the status is asked for, within the platform's limits. Of a folder, --since 24h takes what it has kept since then.
    Exits with 1 when something is lost.

    Example:
        truss-async reconcile ids.txt --store s3://my-bucket/outputs
        truss-async reconcile results.jsonl.ledger --json
        truss-async reconcile inbox --since 24h --store s3://my-bucket/outputs
    """
    known, asked = _known_and_asked(ids, since=since)
    if store is None and inbox is None:
        store, inbox = _own_places(Path(ids))
    found = known + asyncio.run(_found(asked, _sources(store, inbox), connection))
    if as_json:
        print_json(json.dumps([asdict(each) for each in found]))
    else:
        _print(found)
    return int(any(each.state == "lost" for each in found))


async def _found(
    ids: Iterable[str], sources: "list[ResultSource]", connection: Connection
) -> list[Reconciled]:
    from ..client import AsyncPlatformClient

    client = AsyncPlatformClient(connection.url, api_key=connection.key())
    try:
        return [each async for each in reconciled(dict.fromkeys(ids), client, sources=sources)]
    finally:
        await client.close()
        for source in sources:
            await source.close()


def _known_and_asked(ids: str, *, since: str | None) -> tuple[list[Reconciled], Iterable[str]]:
    path = Path(ids)
    if since is not None and not path.is_dir():
        raise SettingsError(
            "--since: a file does not say when its ids were made; give a folder of `listen --keep`"
        )
    if ids in STANDARD_INPUT:
        return [], ids_of_lines(sys.stdin, what="standard input")
    if path.is_dir():
        return [], ids_of_inbox(path, since=None if since is None else earliest(since))
    if is_ledger(path):
        return lines_of_ledger(path)
    try:
        return [], list(ids_of_lines(read_text(path).splitlines(), what=ids))
    except UnicodeDecodeError:
        raise SettingsError(f"{ids} is neither text nor a ledger") from None


def _own_places(path: Path) -> tuple[str | None, str | None]:
    """The store and the inbox of a ledger's batch; a folder is an inbox itself."""
    if path.is_dir():
        return None, str(path)
    if str(path) in STANDARD_INPUT or not is_ledger(path):
        return None, None
    settings = batch_settings(path)
    return settings.store, settings.inbox


def _sources(store: str | None, inbox: str | None) -> "list[ResultSource]":
    from ..client.batch.sources import source_of

    stores = [] if store is None else [source_of(store=store, inbox=None)]
    return stores + ([] if inbox is None else [source_of(store=None, inbox=inbox)])


def _print(found: list[Reconciled]) -> None:
    for each in found:
        print(f"{printable(each.request_id)}  {each.state:<6}  {one_line(each.hint)}")
    counts = Counter(each.state for each in found)
    shown = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    print(shown or "there are no request ids in it", file=sys.stderr)
