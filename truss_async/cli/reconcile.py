"""``truss-async reconcile``"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..client.batch import batch_settings
from ..client.batch.input_file import STANDARD_INPUT
from ..client.reconcile import Reconciled
from ..client.reconcile import reconcile as reconciled
from ..client.refusals import one_line
from ..client.request_lists import ids_of_inbox, ids_of_lines, is_ledger, lines_of_ledger
from ..clock import SYSTEM_CLOCK
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
            help="File with one request id per line (or JSON lines with request_id), a batch ledger, a folder of "
            "`listen --keep`, or - for standard input.",
        ),
    ],
    /,
    *,
    store: Annotated[
        str | None,
        Parameter.combine(
            own_option("store", "Output store (a folder or a URL) to search for results."), STORE
        ),
    ] = None,
    inbox: Annotated[
        str | None,
        own_option("inbox", "Folder of `listen --keep`, or file of on_result, to search for results."),
    ] = None,
    relay: Annotated[
        str | None, own_option("batch_relay", "URL of a `listen --relay` to search for results.")
    ] = None,
    relay_key: Annotated[
        str | None,
        own_option("batch_relay_key", "Key of the relay. It is not stored in the ledger."),
    ] = None,
    since: Annotated[str | None, SINCE] = None,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Report for each request whether it has a result, failed, is lost or is still open, and what to do about it.

    Looks for results first: in --store, --inbox or --relay, or where the ledger or folder points to. Then requests the
    status of the others, within the platform's rate limits. With a folder, --since 24h limits the check to recent
    results. Exits with 1 if a request is lost.

    Example:
        truss-async reconcile ids.txt --store s3://my-bucket/outputs
        truss-async reconcile results.jsonl.ledger --json
        truss-async reconcile results.jsonl.ledger --relay-key my-key
        truss-async reconcile inbox --since 24h --store s3://my-bucket/outputs
    """
    known, asked = _known_and_asked(ids, since=since)
    places = Places(store, inbox, relay)
    if places == Places():
        places = _own_places(Path(ids))
    found = known + asyncio.run(_found(asked, places, relay_key, connection))
    if as_json:
        print_json(json.dumps([asdict(each) for each in found]))
    else:
        _print(found)
    return int(any(each.state == "lost" for each in found))


@dataclass(frozen=True)
class Places:
    """Where results are looked for: everywhere that is named."""

    store: str | None = None
    inbox: str | None = None
    relay: str | None = None


async def _found(
    ids: Iterable[str], places: Places, relay_key: str | None, connection: Connection
) -> list[Reconciled]:
    from ..client import AsyncPlatformClient

    client = AsyncPlatformClient(connection.url, api_key=connection.key())
    sources: list[ResultSource] = []
    try:
        await _open(sources, places, relay_key)
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


def _own_places(path: Path) -> Places:
    """Where a ledger's batch has its results; a folder is an inbox itself."""
    if path.is_dir():
        return Places(inbox=str(path))
    if str(path) in STANDARD_INPUT or not is_ledger(path):
        return Places()
    settings = batch_settings(path)
    return Places(settings.store, settings.inbox, settings.relay)


async def _open(sources: "list[ResultSource]", places: Places, relay_key: str | None) -> None:
    from ..client.batch.relay import RelaySource
    from ..client.batch.sources import source_of

    if places.store is not None:
        sources.append(source_of(store=places.store, inbox=None))
    if places.inbox is not None:
        sources.append(source_of(store=None, inbox=places.inbox))
    if places.relay is not None:
        relay = RelaySource(places.relay, key=relay_key, clock=SYSTEM_CLOCK)
        sources.append(relay)
        await relay.check()


def _print(found: list[Reconciled]) -> None:
    for each in found:
        print(f"{printable(each.request_id)}  {each.state:<6}  {one_line(each.hint)}")
    counts = Counter(each.state for each in found)
    shown = ", ".join(f"{number} {state}" for state, number in sorted(counts.items()))
    print(shown or "there are no request ids in it", file=sys.stderr)
