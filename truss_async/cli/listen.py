"""``truss-async listen``"""

import json
import logging
import queue
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..client import Inbox
from ..client.refusals import one_line
from ..webhooks import Delivery, WebhookReceiver
from .options import WEBHOOK_SECRET, AsJson, variable

DEFAULT_PORT = 8099


@dataclass(frozen=True)
class Arrival:
    """A delivery, and where its body is kept; None when it was refused."""

    delivery: Delivery
    kept_in: Path | None = None
    is_new: bool = False


def listen(
    *,
    host: Annotated[str, Parameter(help="Address to listen on.", env_var=variable("host"))] = "127.0.0.1",
    port: Annotated[
        int, Parameter(help="Port to listen on; 0 picks a free one.", env_var=variable("port"))
    ] = DEFAULT_PORT,
    webhook_secret: Annotated[
        tuple[str, ...],
        WEBHOOK_SECRET,
        Parameter(help="Accept only what this secret signed; may be given more than once."),
    ] = (),
    keep: Annotated[
        Path, Parameter(help="Folder that keeps each result as REQUEST_ID.json.", env_var=variable("keep"))
    ] = Path("inbox"),
    exit_after: Annotated[
        int | None,
        Parameter(
            help="End after so many results; one that comes again does not count.",
            env_var=variable("exit_after"),
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Receive webhooks: verify, keep, and print one line for each. A result is kept before it is acknowledged.

    Example:
        truss-async listen --webhook-secret whsec_abc --keep results
        truss-async submit 1 --webhook-endpoint http://localhost:8099
    """
    logging.basicConfig(format="truss-async: %(message)s")
    arrivals: queue.SimpleQueue[Arrival | None] = queue.SimpleQueue()
    keep.mkdir(parents=True, exist_ok=True)
    inbox = Inbox(keep)

    def take(delivery: Delivery) -> None:
        if delivery.result is None:
            arrivals.put(Arrival(delivery))
            return
        request_id = delivery.result.request_id
        is_new = inbox.keep(request_id, delivery.body)
        arrivals.put(Arrival(delivery, inbox.path_of(request_id), is_new))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: arrivals.put(None))
    with WebhookReceiver(secrets=webhook_secret, host=host, port=port, on_delivery=take, keep=0) as receiver:
        ready = {"event": "listening", "url": receiver.url}
        print(json.dumps(ready) if as_json else f"listening on {receiver.url}", flush=True)
        if not webhook_secret:
            print("no --webhook-secret: signatures are not checked", file=sys.stderr)
        _print_arrivals(arrivals, exit_after=exit_after, as_json=as_json)


def _print_arrivals(
    arrivals: "queue.SimpleQueue[Arrival | None]", *, exit_after: int | None, as_json: bool
) -> None:
    taken = 0
    while exit_after is None or taken < exit_after:
        arrival = arrivals.get()
        if arrival is None:
            return
        print(json.dumps(_facts(arrival)) if as_json else _line(arrival), flush=True)
        taken += arrival.is_new


def _line(arrival: Arrival) -> str:
    delivery, result = arrival.delivery, arrival.delivery.result
    start = f"{delivery.received_at:%H:%M:%S} UTC  {one_line(delivery.request_id or '-')}"
    if result is None:
        return f"{start}  refused ({delivery.status_code}): {one_line(delivery.verdict)}"
    if not arrival.is_new:
        return f"{start}  again, kept already in {arrival.kept_in}"
    what = f"output, {len(delivery.body)} bytes"
    if result.errors:
        what = "failed with " + "; ".join(f"{error.code}: {error.message}" for error in result.errors)
    return f"{start}  {one_line(what)}, signature {delivery.verdict}, kept in {arrival.kept_in}"


def _facts(arrival: Arrival) -> dict[str, Any]:
    delivery, result = arrival.delivery, arrival.delivery.result
    return {
        "event": "delivery",
        "received_at": delivery.received_at.isoformat(),
        "request_id": delivery.request_id,
        "accepted": delivery.accepted,
        "status_code": delivery.status_code,
        "verdict": delivery.verdict,
        "duplicate": result is not None and not arrival.is_new,
        "kept_in": str(arrival.kept_in) if arrival.kept_in is not None else None,
        "size_bytes": len(delivery.body),
        "errors": [error.model_dump() for error in result.errors] if result is not None else [],
    }
