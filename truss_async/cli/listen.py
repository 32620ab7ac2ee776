"""``truss-async listen``"""

import json
import logging
import queue
import signal
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from cyclopts import Parameter

from ..client import Inbox, StoreInbox
from ..client.refusals import one_line
from ..contract import ErrorDetail
from ..contract.json_text import write
from ..contract.limits import MAX_ERROR_CHARACTERS, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..contract.own_names import allowed_name
from ..endpoint.certificates import Certificate, given_certificate, own_certificate
from ..endpoint.forwarding import Forwarder
from ..endpoint.intake import Arrival, Intake, Keeper
from ..endpoint.relay import Relay, check_key
from ..errors import SettingsError
from ..pasted import as_api_key
from ..printable import LONGEST_LINE, escaped, print_line, printable, shortened
from ..stores import object_store
from ..stores.probe import check_writable
from ..webhooks import Delivery, WebhookReceiver
from ..webhooks.http_server import Answer, EventStream, Request
from .options import WEBHOOK_SECRET, AsJson, flag, own_option, print_json
from .output import output_text
from .secret_files import WebhookSecretFile, webhook_secrets_of

DEFAULT_PORT = 8099
# All of them are in what is kept.
_MOST_ERRORS = 20
TLS_FOLDER = Path(".truss-async") / "tls"


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Tls:
    """Whether the endpoint speaks HTTPS, and with which certificate."""

    tls: Annotated[bool, flag("tls", "Use HTTPS with a generated certificate.")] = False
    tls_cert: Annotated[
        Path | None, own_option("tls_cert", "Use HTTPS with the certificate in this PEM file.")
    ] = None
    tls_key: Annotated[
        Path | None, own_option("tls_key", "PEM file of the private key, if not in the certificate file.")
    ] = None

    def certificate(self, host: str) -> Certificate | None:
        """None: plain HTTP."""
        if self.tls_cert is not None:
            return given_certificate(self.tls_cert, self.tls_key)
        if self.tls_key is not None:
            raise SettingsError("--tls-key needs --tls-cert")
        return own_certificate(TLS_FOLDER, host=host) if self.tls else None


PLAIN_HTTP = Tls()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Relaying:
    """Whether results are handed to clients that wait for them, and to whom."""

    relay: Annotated[
        bool,
        flag(
            "relay",
            "Serve results to waiting clients at GET /results/REQUEST_ID (server-sent events). For relay=URL in Python.",
        ),
    ] = False
    relay_key: Annotated[
        str | None,
        own_option(
            "relay_key",
            "Key that relay clients must send. Without it, only programs on this machine are served.",
        ),
    ] = None

    def opened(self, keeper: Keeper, *, host: str) -> Relay | None:
        """None: nothing is relayed."""
        key = None if self.relay_key is None else as_api_key(self.relay_key)
        if not self.relay:
            if key is not None:
                raise SettingsError("--relay-key needs --relay")
            return None
        check_key(key, host=host)
        return Relay(keeper.find, key=key)


NOTHING_RELAYED = Relaying()


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Checks:
    """What is accepted."""

    webhook_secret: Annotated[
        tuple[str, ...],
        WEBHOOK_SECRET,
        Parameter(help="Accept only webhooks signed with this secret. Repeat for several."),
    ] = ()
    webhook_secret_file: WebhookSecretFile = None
    tolerance: Annotated[
        float,
        own_option(
            "tolerance",
            "Maximum difference, in seconds, between a signature's time and this machine's clock.",
        ),
    ] = WEBHOOK_AGE_TOLERANCE_SECONDS
    allow_host: Annotated[
        tuple[str, ...],
        own_option(
            "listen_allow_host",
            "Without a secret: another host name to accept, such as a tunnel's. *.example.com covers all subdomains.",
        ),
        Parameter(negative="", show_default=False),
    ] = ()

    def secrets(self) -> tuple[str, ...]:
        """All that were given, newest first."""
        return webhook_secrets_of(self.webhook_secret_file, given=self.webhook_secret)

    def allowed_hosts(self) -> list[str]:
        """Those that were given."""
        try:
            return [allowed_name(each) for each in self.allow_host]
        except ValueError as error:
            raise SettingsError(f"--allow-host: {error}") from error


NOTHING_SAID = Checks()


def listen(
    *,
    host: Annotated[str, own_option("listen_host", "Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, own_option("listen_port", "Port to listen on; 0 picks a free one.")] = DEFAULT_PORT,
    checks: Checks = NOTHING_SAID,
    keep: Annotated[
        str,
        own_option(
            "keep", "Folder or output store URL (s3://…) where each result is stored as REQUEST_ID.json."
        ),
    ] = "inbox",
    forward: Annotated[
        str | None,
        own_option(
            "forward",
            "Forward each verified webhook, with its headers, to this URL, and return the answer.",
        ),
    ] = None,
    exit_after: Annotated[
        int | None,
        own_option("exit_after", "Exit after this many results; duplicates do not count."),
    ] = None,
    prints_output: Annotated[
        bool, Parameter(name="--print"), flag("listen_print", "Also print each output, as one line of JSON.")
    ] = False,
    tls: Tls = PLAIN_HTTP,
    relaying: Relaying = NOTHING_RELAYED,
    as_json: AsJson = False,
) -> None:
    """Receive webhooks: verify, store, and print one line for each. A result is stored before it is acknowledged.

    With --forward, the sender gets your application's answer, or 502 if it cannot be reached and 504 if it is too
    slow, so that the platform retries.

    Example:
        truss-async listen --webhook-secret whsec_abc --keep results
        truss-async listen --tls --forward http://localhost:8000/webhook
        truss-async listen --print
        truss-async listen --webhook-secret whsec_abc --relay --relay-key my-key
        truss-async submit 1 --webhook-endpoint http://localhost:8099
    """
    logging.basicConfig(format="truss-async: %(message)s")
    certificate, secrets = tls.certificate(host), checks.secrets()
    arrivals: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
    keeper = _keeper(keep)
    relay = relaying.opened(keeper, host=host)
    _end_on_signals(arrivals)
    with nullcontext() if forward is None else closing(Forwarder(forward)) as forwarder:
        intake = Intake(keeper, forwarder=forwarder, report=arrivals.put, relay=relay)
        answers = _Answers(intake.take, relay.answer if relay else None)
        receiver = _receiver(checks, answers, host=host, port=port, certificate=certificate)
        with receiver, closing(relay) if relay else nullcontext():
            _print_start(receiver.url, certificate, is_verified=bool(secrets), as_json=as_json)
            show = partial(_print_arrival, as_json=as_json, with_output=prints_output)
            _show_arrivals(arrivals, exit_after=exit_after, show=show)


class _Answers(NamedTuple):
    """Who answers POSTs, and GETs, if anybody does."""

    post: Callable[[Delivery], int | None]
    get: Callable[[Request], Answer | EventStream] | None


def _receiver(
    checks: Checks, answers: _Answers, *, host: str, port: int, certificate: Certificate | None
) -> WebhookReceiver:
    return WebhookReceiver(
        secrets=checks.secrets(),
        host=host,
        port=port,
        on_delivery=answers.post,
        on_get=answers.get,
        tolerance_seconds=checks.tolerance,
        allow_hosts=checks.allowed_hosts(),
        keep=0,
        tls=certificate.context if certificate else None,
    )


def _end_on_signals(arrivals: "queue.SimpleQueue[Arrival | None]") -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: arrivals.put(None))


def _keeper(keep: str) -> Keeper:
    if "://" in keep:
        objects = object_store(keep)
        check_writable(objects)
        return StoreInbox(objects)
    folder = Path(keep)
    folder.mkdir(parents=True, exist_ok=True)
    return Inbox(folder)


def _print_start(url: str, certificate: Certificate | None, *, is_verified: bool, as_json: bool) -> None:
    ready = {"event": "listening", "url": url}
    authority = certificate.authority_file if certificate else None
    if authority is not None:
        ready["ca_file"] = str(authority)
    print_line(json.dumps(ready) if as_json else f"listening on {url}")
    if authority is not None:
        print(f"to make the harness trust it, start it with: --webhook-ca {authority}", file=sys.stderr)
    if not is_verified:
        print("no --webhook-secret: signatures are not checked", file=sys.stderr)


def _show_arrivals(
    arrivals: "queue.SimpleQueue[Arrival | None]",
    *,
    exit_after: int | None,
    show: Callable[[Arrival], None],
) -> None:
    taken = 0
    while exit_after is None or taken < exit_after:
        arrival = arrivals.get()
        if arrival is None:
            return
        show(arrival)
        taken += arrival.is_done


def _print_arrival(arrival: Arrival, *, as_json: bool, with_output: bool) -> None:
    result = arrival.delivery.result
    if as_json:
        facts = _facts(arrival)
        if with_output:
            facts["output"] = None if result is None else result.data
        print_line(escaped(write(facts).decode()))  # what strangers wrote, a line each
        return
    print_line(_line(arrival))
    if with_output and result is not None and not result.errors:
        print_json(output_text(result.data))


def _line(arrival: Arrival) -> str:
    delivery, result = arrival.delivery, arrival.delivery.result
    start = f"{delivery.received_at:%H:%M:%S} UTC  {one_line(delivery.request_id or '-')}"
    if result is None:
        return f"{start}  refused ({delivery.status_code}): {one_line(delivery.verdict)}"
    kept_in = printable(arrival.kept_in or "")
    if not arrival.is_new:
        return f"{start}  again, kept already in {kept_in}{_forwarding(arrival)}"
    what = f"output, {len(delivery.body)} bytes"
    if result.errors:
        what = "failed with " + "; ".join(
            f"{error.code}: {error.message}" for error in result.errors[:_MOST_ERRORS]
        )
    return f"{start}  {one_line(what)}, signature {delivery.verdict}, kept in {kept_in}{_forwarding(arrival)}"


def _forwarding(arrival: Arrival) -> str:
    forwarded = arrival.forwarded
    if forwarded is None:
        return ""
    if forwarded.problem is not None:
        return f", not forwarded: {one_line(forwarded.problem)}; answered {forwarded.status_code}"
    return f", forwarded: {forwarded.status_code} in {forwarded.took_seconds * 1000:.0f} ms"


def _facts(arrival: Arrival) -> dict[str, Any]:
    delivery, result, forwarded = arrival.delivery, arrival.delivery.result, arrival.forwarded
    return {
        "event": "delivery",
        "received_at": delivery.received_at.isoformat(),
        "request_id": None
        if delivery.request_id is None
        else shortened(delivery.request_id, limit=LONGEST_LINE),
        "accepted": arrival.status_code < 300,
        "status_code": arrival.status_code,
        "verdict": delivery.verdict,
        "duplicate": result is not None and not arrival.is_new,
        "kept_in": None if arrival.kept_in is None else printable(arrival.kept_in),
        "forwarded": None
        if forwarded is None
        else {
            "status_code": None if forwarded.problem else forwarded.status_code,
            "problem": forwarded.problem,
            "latency_ms": round(forwarded.took_seconds * 1000, 1),
        },
        "size_bytes": len(delivery.body),
        "errors": [] if result is None else [_fact(error) for error in result.errors[:_MOST_ERRORS]],
    }


def _fact(error: ErrorDetail) -> dict[str, str]:
    return {
        name: shortened(text, limit=MAX_ERROR_CHARACTERS) for name, text in error if isinstance(text, str)
    }
