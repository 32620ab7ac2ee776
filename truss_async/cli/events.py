"""``truss-async events``: what ``listen`` has kept."""

import json
from typing import Annotated

from cyclopts import App, Parameter

from ..client.inbox import KeptResult
from ..client.refusals import one_line
from ..errors import OutputStoreError, SettingsError
from ..printable import printable
from .kept_inbox import INBOX, SINCE, USUAL_INBOX, opened_inbox
from .options import AsJson, RequestId, flag, print_json
from .output import output_text
from .redeliver import NOWHERE, Sending, resend
from .store_location import earliest

events = App(name="events", help_epilogue="Example:\n    truss-async events list --since 1h")

_Inbox = Annotated[str, INBOX]


@events.command(name="list")
def list_events(
    *,
    inbox: _Inbox = USUAL_INBOX,
    since: Annotated[str | None, SINCE] = None,
    failed: Annotated[
        bool, flag("events_failed", "Only results that `listen --forward` could not deliver.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the received results, newest last. With --json, one object per line.

    Example:
        truss-async events list --since 1h
        truss-async events list --inbox results --failed --json
    """
    kept = opened_inbox(inbox)
    unacknowledged = set(kept.unacknowledged(since=None))
    for each in kept.kept(since=None if since is None else earliest(since)):
        is_open = each.request_id in unacknowledged
        if failed and not is_open:
            continue
        error = _error_of(each)
        if as_json:
            print_json(
                json.dumps(
                    {
                        "request_id": each.request_id,
                        "received_at": each.received_at.isoformat(),
                        "size_bytes": each.size_bytes,
                        "acknowledged": not is_open,
                        "error": error,
                    }
                )
            )
            continue
        what = one_line(error) if error is not None else "output"
        row = f"{each.received_at:%Y-%m-%d %H:%M:%S} UTC  {each.size_bytes:>12}  {printable(each.request_id)}  {what}"
        print(f"{row}, not acknowledged" if is_open else row)


@events.command(name="show")
def show_event(request_id: RequestId, /, *, inbox: _Inbox = USUAL_INBOX, as_json: AsJson = False) -> int:
    """Print the output received for a request. With --json, the original webhook body.

    Example:
        truss-async events show 0123456789abcdef0123456789abcdef --json
    """
    kept = opened_inbox(inbox)
    found = kept.full_id(request_id)
    result = kept.result(found)
    if as_json:
        print_json((kept.find(found) or b"").decode())
    elif result.errors:
        for error in result.errors:
            print(one_line(f"{error.code}: {error.message}"))
    else:
        print_json(output_text(result.data))
    return int(bool(result.errors))


@events.command(name="resend")
def resend_events(
    *request_ids: Annotated[str, Parameter(name="REQUEST_ID", help="One or more request ids.")],
    inbox: _Inbox = USUAL_INBOX,
    sending: Sending = NOWHERE,
    as_json: AsJson = False,
) -> int:
    """Resend received webhooks to your application, with a new signature and timestamp.

    Example:
        truss-async events resend 01234567 --to http://127.0.0.1:8000/webhook --webhook-secret whsec_abc
    """
    if not request_ids:
        raise SettingsError("give a REQUEST_ID to resend; `events list` lists them")
    kept = opened_inbox(inbox)
    ids = [kept.full_id(each) for each in request_ids]
    return resend(ids, kept.result, sending=sending, as_json=as_json, note=kept.acknowledge)


def _error_of(kept: KeptResult) -> str | None:
    try:
        errors = kept.read().errors
    except OutputStoreError as error:
        return str(error)
    return f"{errors[0].code}: {errors[0].message}" if errors else None
