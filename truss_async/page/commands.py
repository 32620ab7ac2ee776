"""What is on a page, as something to run: with curl, in Python, by the command line."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ..printable import without_logins

if TYPE_CHECKING:
    from ..contract.harness_calls import RequestView, Submission

_INPUT_UNSHOWN: Final = {"text": "hello"}
_LONGEST_INPUT: Final = 4000


class Command(NamedTuple):
    """Something to copy; ``name`` says what it does, and where it runs."""

    name: str
    text: str


def commands_for(
    view: RequestView, submitted: Submission | None, *, base: str, path: str | None
) -> list[Command]:
    """How to submit such a request, and how to follow this one; ``path`` is where its deployment is called, if it is.

    Without ``submitted``, or when it is long, an input stands for the one that was.
    """
    request_id = view.request.request_id
    made = [] if path is None else _submitting(_body(view, submitted), base=base, path=path)
    return [
        *made,
        Command("show, by the command line", f"truss-async show {request_id} --url {shlex.quote(base)}"),
        Command("log lines, by the command line", f"truss-async logs {request_id} --url {shlex.quote(base)}"),
    ]


def _submitting(body: dict[str, Any], *, base: str, path: str) -> list[Command]:
    word = "async_run_remote" if path.startswith("/chain/") else "async_predict"
    url = f"{base}{path}/{word}"
    given = json.dumps(body["model_input"])
    options = [f"--priority {body['priority']}"] if body["priority"] else []
    python = [f"priority={body['priority']}"] if body["priority"] else []
    if endpoint := body.get("webhook_endpoint"):
        options.append(f"--webhook-endpoint {shlex.quote(endpoint)}")
        python.append(f"webhook_endpoint={endpoint!r}")
    arguments = ", ".join([f"model_input={body['model_input']!r}", *python])
    return [
        Command(
            "submit, with curl",
            f'curl -X POST {shlex.quote(url)} -H "Authorization: Api-Key $API_KEY" \\\n'
            f"  -H 'Content-Type: application/json' -d {shlex.quote(json.dumps(body))}",
        ),
        Command(
            "submit, in Python",
            "from truss_async.client import PlatformClient\n\n"
            f"with PlatformClient({base!r}, api_key=API_KEY) as client:\n"
            f"    print(client.submit({arguments}).request_id)",
        ),
        Command(
            "submit, by the command line",
            " ".join(["truss-async submit", shlex.quote(given), *options, f"--url {shlex.quote(base)}"]),
        ),
    ]


def _body(view: RequestView, submitted: Submission | None) -> dict[str, Any]:
    model_input = _INPUT_UNSHOWN
    if submitted is not None and len(json.dumps(submitted.model_input)) <= _LONGEST_INPUT:
        model_input = submitted.model_input
    body: dict[str, Any] = {"model_input": model_input, "priority": view.request.priority}
    endpoint = view.deliveries[0].webhook_endpoint if view.deliveries else None
    if submitted is not None:
        endpoint = submitted.webhook_endpoint
    return body if endpoint is None else {**body, "webhook_endpoint": without_logins(endpoint)}
