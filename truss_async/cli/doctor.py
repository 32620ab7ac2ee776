"""``truss-async doctor``"""

import json
import os
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

from cyclopts import Parameter

from ..contract.output_variables import OUTPUT_URL
from ..harness.settings import HarnessSettings
from ..printable import print_line, printable
from ..replicas.settings import DeploymentSettings
from .options import AsJson, checked, option, own_option
from .serve import SCHEMA, STATE_DIR
from .store_option import STORE
from .variables import variable

if TYPE_CHECKING:
    from ..doctor import Finding

PLATFORM = "https://api.baseten.co"
_NAME = 13
_INDENT = " " * (8 + _NAME)
_WIDTH = 120


class Database(TypedDict):
    """The database that keeps the queue."""

    state: str | None
    state_schema: str


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Serving:
    """The options of ``serve`` that decide what is looked at."""

    host: Annotated[str, option(HarnessSettings, "host")] = HarnessSettings.model_fields["host"].default
    port: Annotated[int, option(HarnessSettings, "port")] = HarnessSettings.model_fields["port"].default
    state_dir: Annotated[Path, option(HarnessSettings, "state_dir")] = STATE_DIR
    state: Annotated[
        str | None, Parameter.combine(option(HarnessSettings, "state"), Parameter(show_default=False))
    ] = None
    state_schema: Annotated[str, Parameter.combine(option(HarnessSettings, "state_schema"), SCHEMA)] = (
        HarnessSettings.model_fields["state_schema"].default
    )
    secrets_dir: Annotated[Path | None, option(HarnessSettings, "secrets_dir")] = None
    python: Annotated[Path | None, option(HarnessSettings, "python")] = None
    cache_dir: Annotated[Path | None, option(HarnessSettings, "cache_dir")] = None

    def settings(self, truss_dir: Path | None) -> DeploymentSettings:
        values = {"secrets_dir": self.secrets_dir, "python": self.python, "cache_dir": self.cache_dir}
        return checked(DeploymentSettings, {"truss_dir": truss_dir, **values})

    def database(self) -> "Database":
        """Where the queue is kept, if that is a database."""
        values = {"stub": "echo", "state": self.state, "state_schema": self.state_schema}
        found = checked(HarnessSettings, values, names={"state_schema": "--schema"})
        return {"state": found.state, "state_schema": found.state_schema}


AS_USUAL = Serving()


def doctor(
    truss_dir: Annotated[Path | None, Parameter(name="DIR", help="The truss to check.")] = None,
    /,
    *,
    store: Annotated[
        str | None,
        Parameter(
            help="Output store to check: a folder or a URL. [default: from config.yaml in DIR]",
            env_var=(variable("store"), OUTPUT_URL),
        ),
        STORE,
    ] = None,
    webhook_endpoint: Annotated[
        str | None, own_option("webhook_endpoint", "Webhook endpoint to check. It gets a GET, no webhook.")
    ] = None,
    serving: Serving = AS_USUAL,
    time_url: Annotated[
        str, own_option("time_url", "Server to compare this machine's clock with.")
    ] = PLATFORM,
    as_json: AsJson = False,
) -> int:
    """Check this machine and a truss for problems, and suggest a fix for each.

    Checks Python, Truss, extras, port, disk space and clock; looks at the database of --state; writes, reads and
    deletes a small object in the output store; calls the webhook endpoint; and reports what config.yaml does on this
    machine. Installs nothing. Accepts the same options and variables as `serve`.

    Exit code: 0 no problems, 1 at least one check failed.

    Example:
        truss-async doctor
        truss-async doctor path/to/truss --webhook-endpoint https://example.com/webhook
        truss-async doctor --store s3://my-bucket/outputs --json
        truss-async doctor --state postgresql://truss@db.internal/truss
    """
    from ..doctor import Examination

    examination = Examination(
        serving.settings(truss_dir),
        host=serving.host,
        port=serving.port,
        state_dir=serving.state_dir,
        **serving.database(),
        time_url=time_url,
        output_url=store,
        webhook_endpoint=webhook_endpoint,
    )
    findings = []
    for finding in examination.findings():
        findings.append(finding)
        if not as_json:
            print_line(_shown(finding))
    failed = sum(each.outcome == "failed" for each in findings)
    if as_json:
        print(json.dumps({"ok": not failed, "rows": [asdict(each) for each in findings]}))
    else:
        print(f"\n{failed} failed" if failed else "\nno problems found")
    return 1 if failed else 0


def _shown(finding: "Finding") -> str:
    outcome = "FAILED" if finding.outcome == "failed" else finding.outcome
    lines = [_filled(f"{outcome:<8}{finding.check:<{_NAME}}", finding.found)]
    if finding.remedy:
        lines.append(_filled(_INDENT, finding.remedy))
    return "\n".join(lines)


def _filled(beginning: str, text: str) -> str:
    width = min(_WIDTH, int(os.environ.get("COLUMNS") or _WIDTH))
    return textwrap.fill(
        printable(text), width, initial_indent=beginning, subsequent_indent=_INDENT,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
