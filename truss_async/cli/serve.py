"""``truss-async serve``"""

import shlex
import sys
from pathlib import Path
from typing import Any

from ..harness.settings import HarnessSettings
from .connection import DEFAULT_URL
from .options import WEBHOOK_SECRET, checked, takes_fields_of

STATE_DIR = Path(".truss-async")


@takes_fields_of(
    HarnessSettings,
    positional=["truss_dir"],
    options={"webhook_secrets": WEBHOOK_SECRET},
    defaults={"state_dir": STATE_DIR},
)
def serve(**values: Any) -> None:
    """Serve a truss as Baseten does, on this machine: async requests, retries, signed webhooks.

    Says `listening on URL` once it accepts requests; the model may load longer. A restart on the same state folder
    goes on where it stopped. Ctrl-C ends it.

    Example:
        truss-async serve path/to/truss --webhook-secret whsec_abc
        truss-async serve --model-url http://127.0.0.1:8080 --port 0
    """
    settings = checked(
        HarnessSettings, values, names={"truss_dir": "TRUSS_DIR", "webhook_secrets": "--webhook-secret"}
    )

    from ..harness.server import run

    def announce(line: str) -> None:
        if settings.state_dir == STATE_DIR:  # it lies in the user's project, and is not to be committed
            (STATE_DIR / ".gitignore").write_text("*\n")
        print(line, flush=True)
        url = line.removeprefix("listening on ")
        if url != line and settings.chain_id is None:
            print(f"next: {_submit_line(url, settings)}", file=sys.stderr, flush=True)

    run(settings, announce=announce)


def _submit_line(url: str, settings: HarnessSettings) -> str:
    command = ["truss-async", "submit", '{"text": "hello"}']
    if url != DEFAULT_URL:
        command += ["--url", url]
    if settings.api_key is not None:
        command += ["--api-key", "KEY"]
    return shlex.join(command)
