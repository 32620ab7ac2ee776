"""``truss-async redeliver``"""

import asyncio
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from ..client.refusals import one_line
from ..contract import WebhookStatus
from ..endpoint.resending import Resender, Resent
from ..errors import ApiError, OutputStoreError, RequestFailedError, SettingsError
from ..printable import print_line, printable
from ..stores import OutputStore
from .connection import HARNESS_HERE, Connection
from .kept_inbox import INBOX, SINCE, opened_inbox
from .options import WEBHOOK_SECRET, AsJson, flag, own_option, print_json
from .secret_files import WebhookSecretFile, webhook_secrets_of
from .store_location import earliest
from .store_option import STORE

if TYPE_CHECKING:
    from ..contract import AsyncPredictResult
    from ..contract.harness_calls import DeliveryAttemptRecord

_MOST_LISTED: Final = 1000


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Sending:
    """Where saved results go, and how they are signed."""

    to: Annotated[
        str | None,
        own_option(
            "to",
            "URL to send the results to. [default: with a harness, the webhook endpoint of each request]",
        ),
    ] = None
    webhook_secret: Annotated[
        tuple[str, ...],
        WEBHOOK_SECRET,
        Parameter(
            help="Webhook secret to sign with; repeat for several, newest first. A harness uses its own secrets."
        ),
    ] = ()
    webhook_secret_file: WebhookSecretFile = None

    @property
    def secrets(self) -> tuple[str, ...]:
        """All that were given, newest first."""
        return webhook_secrets_of(self.webhook_secret_file, given=self.webhook_secret)

    def resender(self) -> Resender:
        """For what is sent from here."""
        if self.to is None:
            raise SettingsError("give the URL to send to with --to")
        if not self.secrets:
            raise SettingsError("give the --webhook-secret that the receiver verifies with")
        return Resender(self.to, secrets=self.secrets)


NOWHERE = Sending()


def redeliver(
    *request_ids: Annotated[str, Parameter(name="REQUEST_ID", help="One or more request ids.")],
    failed: Annotated[
        bool,
        flag(
            "redeliver_failed",
            "Resend all results whose delivery failed, according to the harness or the platform. With --inbox: "
            "those that `listen --forward` could not deliver.",
        ),
    ] = False,
    since: Annotated[str | None, SINCE] = None,
    store: Annotated[
        str | None,
        Parameter.combine(
            own_option("store", "Output store to read results from: a folder or a URL."), STORE
        ),
    ] = None,
    inbox: Annotated[str | None, INBOX] = None,
    sending: Sending = NOWHERE,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Resend results from an output store, an inbox or a harness, with a new signature and timestamp.

    Each result is sent once. A harness keeps results for this with `serve --keep-results 1h`. With --store and
    --failed, the platform at --url is asked which deliveries failed; it knows for one hour. Exits with 1 if a result
    was not acknowledged.

    Example:
        truss-async redeliver 0123456789abcdef0123456789abcdef
        truss-async redeliver --failed --since 24h --inbox inbox --to http://127.0.0.1:8000/webhook --webhook-secret whsec_abc
        truss-async redeliver 0123456789abcdef0123456789abcdef --store s3://my-bucket/outputs --to https://example.com/hook
    """
    if failed == bool(request_ids):
        raise SettingsError("give a REQUEST_ID to resend, or --failed")
    if since is not None and not failed:
        raise SettingsError("--since goes with --failed")
    if store is not None and inbox is not None:
        raise SettingsError("give --store or --inbox, not both")
    if store is not None:
        outputs = OutputStore.from_url(store)
        ids = _undelivered(outputs, since, connection) if failed else request_ids
        return resend(ids, lambda each: _saved(outputs, each), sending=sending, as_json=as_json)
    if inbox is not None:
        kept = opened_inbox(inbox)
        oldest = None if since is None else earliest(since)
        named = kept.unacknowledged(since=oldest) if failed else [kept.full_id(each) for each in request_ids]
        return resend(named, kept.result, sending=sending, as_json=as_json, note=kept.acknowledge)
    return _by_harness(request_ids, failed, since, sending, connection, as_json=as_json)


def resend(
    request_ids: Iterable[str],
    result_of: "Callable[[str], AsyncPredictResult]",
    *,
    sending: Sending,
    as_json: bool,
    note: Callable[[str], object] = lambda _: None,
) -> int:
    """Send each from here; ``note`` is told of those that were acknowledged. The exit code."""
    with closing(sending.resender()) as resender:
        failures = 0
        for request_id in request_ids:
            try:
                sent = resender.send(result_of(request_id))
            except OutputStoreError as error:
                sent = Resent(request_id, None, 0.0, str(error))
            if sent.is_delivered:
                note(request_id)
            failures += not sent.is_delivered
            _print(sent, to=resender.url, as_json=as_json)
    return int(failures > 0)


def _by_harness(
    request_ids: tuple[str, ...],
    failed: bool,
    since: str | None,
    sending: Sending,
    connection: Connection,
    *,
    as_json: bool,
) -> int:
    if sending.webhook_secret_file is not None:
        raise SettingsError(
            "--webhook-secret-file: the harness signs with its own secrets; it goes with --store or --inbox"
        )
    with connection.to_harness() as client:
        if failed:
            kept = client.kept_results(failed=True, since=since, limit=_MOST_LISTED)
            request_ids = tuple(each.request_id for each in reversed(kept))
        failures = 0
        for request_id in request_ids:
            try:
                made: DeliveryAttemptRecord = client.redeliver(request_id, to=sending.to)
            except ApiError as error:
                if error.status_code not in (400, 404):
                    raise
                sent, to = Resent(request_id, None, 0.0, str(error)), sending.to
            else:
                sent = Resent(made.request_id, made.status_code, made.latency_ms, made.error)
                to = made.webhook_endpoint
            failures += not sent.is_delivered
            _print(sent, to=to, as_json=as_json)
    return int(failures > 0)


def _saved(outputs: OutputStore, request_id: str) -> "AsyncPredictResult":
    try:
        return outputs.get(request_id)
    except RequestFailedError as failure:
        failed: AsyncPredictResult = failure.result
        return failed


def _undelivered(outputs: OutputStore, since: str | None, connection: Connection) -> Iterator[str]:
    """Those in the store of which the platform says that the delivery failed."""
    oldest = None if since is None else earliest(since)
    ids = [each.request_id for found in (outputs.list, outputs.failures) for each in found(since=oldest)]
    statuses = asyncio.run(_webhook_statuses(ids, connection))
    gone = sum(each is None for each in statuses)
    if gone:
        print(
            f"of {gone} of {len(ids)} the status is gone, which is kept for an hour; name those to send them",
            file=sys.stderr,
        )
    return (each for each, status in zip(ids, statuses, strict=True) if status is WebhookStatus.FAILED)


async def _webhook_statuses(ids: list[str], connection: Connection) -> list[WebhookStatus | None]:
    from ..client import AsyncPlatformClient
    from ..client.reconcile import StatusCalls

    async with AsyncPlatformClient(connection.url, api_key=connection.key()) as client:
        calls = StatusCalls(client)
        found = await asyncio.gather(*map(calls.status, ids))
    return [None if each is None else each.webhook_status for each in found]


def _print(sent: Resent, *, to: str | None, as_json: bool) -> None:
    if as_json:
        facts = {
            "request_id": sent.request_id,
            "to": to,
            "delivered": sent.is_delivered,
            "status_code": sent.status_code,
            "latency_ms": round(sent.latency_ms, 1),
            "error": sent.error,
        }
        print_json(json.dumps(facts))
        return
    start = printable(sent.request_id)
    if sent.is_delivered:
        print_line(f"{start}  delivered: {sent.status_code} in {sent.latency_ms:.0f} ms")
        return
    reason = sent.error or f"it answered {sent.status_code}"
    print_line(f"{start}  not delivered: {one_line(reason)}")
