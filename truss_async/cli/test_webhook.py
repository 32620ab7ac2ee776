"""``truss-async test-webhook``"""

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ..client.refusals import one_line
from ..endpoint.trial import EndpointTrial, Row
from ..printable import print_line, printable
from .options import WEBHOOK_SECRET, AsJson, own_option
from .secret_files import WebhookSecretFile, webhook_secrets_of

_WIDTH = 80
_INDENT = " " * 9


def test_webhook(
    url: Annotated[str, Parameter(name="URL", help="The webhook endpoint to test.")],
    /,
    *,
    webhook_secret: Annotated[
        tuple[str, ...],
        WEBHOOK_SECRET,
        Parameter(help="Webhook secret that the endpoint uses. Repeat for several, newest first."),
    ] = (),
    webhook_secret_file: WebhookSecretFile = None,
    webhook_ca: Annotated[
        Path | None,
        own_option(
            "test_webhook_webhook_ca",
            "PEM file of extra certificate authorities to trust.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Send valid, malformed and forged webhooks to an endpoint, and check its answers.

    Fails if the endpoint rejects a valid webhook, accepts a forged or outdated one, or is too slow. The results
    sent are made up; their model id is truss_async_test.

    Example:
        truss-async test-webhook http://localhost:8000 --webhook-secret whsec_abc
        truss-async test-webhook https://localhost:8099 --webhook-ca ca.pem --json
    """
    rows: list[Row] = []
    secrets = webhook_secrets_of(webhook_secret_file, given=webhook_secret)
    for row in EndpointTrial(url, secrets=secrets, ca_file=webhook_ca).run():
        rows.append(row)
        if not as_json:
            print_line(_shown(row))
    passed = all(row.outcome != "failed" for row in rows)
    if as_json:
        print(json.dumps({"url": printable(url), "passed": passed, "rows": [_facts(row) for row in rows]}))
    else:
        print(f"\n{_summary(rows)}")
    return 0 if passed else 1


def _shown(row: Row) -> str:
    outcome = "FAILED" if row.outcome == "failed" else row.outcome
    answers = ", ".join(str(attempt.status_code or "none") for attempt in row.attempts)
    slowest = max((attempt.took_seconds for attempt in row.attempts), default=None)
    took = "" if slowest is None else f"{slowest * 1000:>9.0f} ms"
    line = f"{outcome:<9}{row.name:<33}{row.expects:<9}{answers:<14}{took}".rstrip()
    if not row.note:
        return line
    return (
        line
        + "\n"
        + textwrap.fill(one_line(row.note), _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT)
    )


def _summary(rows: Sequence[Row]) -> str:
    counts = {name: sum(row.outcome == name for row in rows) for name in ("ok", "failed", "skipped")}
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _facts(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "expects": row.expects,
        "outcome": row.outcome,
        "attempts": [
            {
                "status_code": attempt.status_code,
                "latency_ms": round(attempt.took_seconds * 1000, 1),
                "problem": attempt.problem,
            }
            for attempt in row.attempts
        ],
        "remark": row.note,
    }
