"""What is on a page, as something to run: with curl, in Python, by the command line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from ..contract.harness_calls import RequestView


class Command(NamedTuple):
    """Something to copy; ``name`` says where it runs."""

    name: str
    text: str


def commands_for(view: RequestView, *, base: str, path: str | None) -> list[Command]:
    """How to ask for this request again, and how to follow it; ``path`` is where its deployment is called."""
    request_id = view.request.request_id
    status = f"{base}/async_request/{request_id}"
    key = "Authorization: Api-Key $API_KEY"
    return [
        Command("curl", f'curl -H "{key}" {shlex.quote(status)}'),
        Command(
            "Python",
            "from truss_async.client import HarnessClient\n\n"
            f"with HarnessClient({base!r}, api_key=API_KEY) as client:\n"
            f"    print(client.request_view({request_id!r}))",
        ),
        Command("command line", f"truss-async show {request_id} --url {shlex.quote(base)}"),
        Command("log lines", f"truss-async logs {request_id} --url {shlex.quote(base)}"),
    ]
