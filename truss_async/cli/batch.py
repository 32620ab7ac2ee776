"""``truss-async batch``"""

import asyncio
import json
import os
import shlex
import signal
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ..client.batch import (
    Batch,
    BatchEnd,
    BatchSettings,
    batch_settings,
    batch_status,
    export_results,
    failed_lines_by_code,
    put_back_failed,
)
from ..client.batch.survey import survey
from ..contract.webhook_urls import is_loopback
from ..printable import print_line, printable
from .batch_screen import print_progress, watch
from .connection import HARNESS_HERE, Connection, host_of
from .options import WEBHOOK_SECRET, AsJson, checked, flag, option, own_option, print_json
from .secret_files import ApiKeyFile, WebhookSecretFile, webhook_secrets_of
from .store_option import STORE

INTERRUPTED = 3

batch = App(
    name="batch",
    help_epilogue="Example:\n    truss-async batch run inputs.jsonl --out results.jsonl --store s3://my-bucket/outputs",
)

_DEFAULTS = {name: field.get_default() for name, field in BatchSettings.model_fields.items()}
_Ledger = Annotated[
    Path, Parameter(name="LEDGER", help="The SQLite file that `batch run` created next to its output.")
]


def _of(name: str) -> Parameter:
    return option(BatchSettings, name)


def _flag_of(name: str) -> Parameter:
    return flag(name, BatchSettings.model_fields[name].description or "")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Terms:
    """How lines are read and submitted, where results come from and where they go: the fields of the settings."""

    errors: Annotated[str | None, _of("errors")] = None
    ledger: Annotated[Path | None, _of("ledger")] = None
    store: Annotated[str | None, _of("store"), STORE] = None
    inbox: Annotated[str | None, _of("inbox")] = None
    relay: Annotated[
        str | None, own_option("batch_relay", BatchSettings.model_fields["relay"].description or "")
    ] = None
    receive: Annotated[bool, _flag_of("receive")] = False
    webhook_endpoint: Annotated[str | None, _of("webhook_endpoint")] = None
    target: Annotated[str, _of("target")] = _DEFAULTS["target"]
    bare: Annotated[bool, _flag_of("bare")] = False
    limit: Annotated[int | None, _of("limit")] = None
    ordered: Annotated[bool, _flag_of("ordered")] = False
    max_open: Annotated[int, _of("max_open")] = _DEFAULTS["max_open"]
    rate: Annotated[float, _of("rate")] = _DEFAULTS["rate"]
    priority: Annotated[int, _of("priority")] = _DEFAULTS["priority"]
    max_time_in_queue_seconds: Annotated[int, _of("max_time_in_queue_seconds")] = _DEFAULTS[
        "max_time_in_queue_seconds"
    ]
    attempts: Annotated[int, _of("attempts")] = _DEFAULTS["attempts"]
    durability: Annotated[Any, _of("durability")] = _DEFAULTS["durability"]

    def settings(self, *, input: str, out: str, url: str) -> BatchSettings:  # noqa: A002
        """The settings, or SettingsError naming the option that is wrong."""
        values = {**asdict(self), "input": input, "out": out, "url": url}
        if not (self.store or self.inbox or self.relay or self.receive):
            values["receive"] = is_loopback(host_of(url))
        return checked(BatchSettings, values)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Conduct:
    """What the run does beside that, and how it shows."""

    wake: Annotated[bool, flag("wake", "Wake the model first, and submit requests once it is up.")] = False
    cancel_on_interrupt: Annotated[
        bool, flag("cancel_on_interrupt", "On Ctrl-C, cancel queued requests.")
    ] = False
    no_progress: Annotated[bool, flag("no_progress", "Do not show progress.")] = False
    webhook_secret: Annotated[
        tuple[str, ...],
        WEBHOOK_SECRET,
        Parameter(help="With --receive: accept only webhooks signed with this secret. Repeat for several."),
    ] = ()
    webhook_secret_file: WebhookSecretFile = None
    relay_key: Annotated[
        str | None,
        own_option("batch_relay_key", "With --relay: the key of the relay. It is not stored in the ledger."),
    ] = None

    def secrets(self) -> tuple[str, ...]:
        return webhook_secrets_of(self.webhook_secret_file, given=self.webhook_secret)


USUAL_TERMS = Terms()
USUAL_CONDUCT = Conduct()


@batch.command(name="run")
def run_batch(
    input: Annotated[str, Parameter(name="INPUT", help=BatchSettings.model_fields["input"].description)],  # noqa: A002
    /,
    *,
    out: Annotated[str, _of("out")],
    terms: Terms = USUAL_TERMS,
    check: Annotated[
        bool,
        flag("batch_run_check", "Check every line first. If one is invalid, submit nothing."),
    ] = False,
    dry_run: Annotated[
        bool, flag("dry_run", "Check every line, show what would be submitted, and exit.")
    ] = False,
    conduct: Conduct = USUAL_CONDUCT,
    connection: Connection = HARNESS_HERE,
    as_json: AsJson = False,
) -> int:
    """Submit every line of a file, and write each result as it arrives.

    A line is a model input, or {"custom_id": …, "model_input": …} with request fields, or a line of the OpenAI
    Batch format. After an interruption, run the same command to continue. Failed lines are written to the errors file
    with the reason.

    Exit code: 0 all lines succeeded, 1 some failed, 2 wrong usage, 3 interrupted.

    Example:
        truss-async batch run inputs.jsonl --out results.jsonl
        truss-async batch run inputs.jsonl --out results.jsonl.gz --url https://model-abcd1234.api.baseten.co --store s3://my-bucket/outputs
        truss-async batch run inputs.jsonl.gz --out results.jsonl --limit 10
    """
    settings = terms.settings(input=input, out=out, url=connection.url)
    if dry_run:
        return _survey(settings, as_json=as_json)
    made = Batch(
        settings,
        api_key=connection.key(),
        webhook_secrets=conduct.secrets(),
        relay_key=conduct.relay_key,
        wakes=conduct.wake,
        checks=check,
    )
    return _run(made, conduct, as_json=as_json)


@batch.command(name="status")
def show_status(ledger: _Ledger, /, *, as_json: AsJson = False) -> None:
    """Show the progress of a batch, running or not.

    Example:
        truss-async batch status results.jsonl.ledger
        truss-async batch status results.jsonl.ledger --json
    """
    found = batch_status(ledger)
    names = ("lines", "waiting", "open", "done", "failed", "submissions", "unanswered")
    facts = {name: getattr(found, name) for name in names}
    if as_json:
        print_json(json.dumps(facts))
        return
    for name, number in facts.items():
        print(f"{name:<12}{number:>12,}")


@batch.command(name="retry")
def retry_batch(
    ledger: _Ledger,
    /,
    *,
    failed: Annotated[bool, flag("failed", "Retry lines that failed in the model or were rejected.")] = False,
    expired: Annotated[bool, flag("expired", "Retry lines that expired in the queue.")] = False,
    lost: Annotated[bool, flag("lost", "Retry lines whose result never arrived.")] = False,
    conduct: Conduct = USUAL_CONDUCT,
    url: Annotated[str | None, own_option("url", "URL to use instead of the batch's.")] = None,
    api_key: Annotated[
        str | None,
        Parameter(
            help="API key. It is not stored in the ledger.",
            env_var=("TRUSS_ASYNC_API_KEY", "BASETEN_API_KEY"),
        ),
    ] = None,
    api_key_file: ApiKeyFile = None,
    as_json: AsJson = False,
) -> int:
    """Resubmit failed lines, and continue with unfinished ones. All other settings come from the ledger.

    Without --failed, --expired or --lost, retries all failed lines. Lines that succeed are removed from the errors
    file.

    Exit code: 0 all retried lines succeeded, 1 some failed, 2 wrong usage, 3 interrupted.

    Example:
        truss-async batch retry results.jsonl.ledger
        truss-async batch retry results.jsonl.ledger --expired --lost
    """
    settings = batch_settings(ledger)
    if url is not None:
        settings = settings.model_copy(update={"url": url})
    key = Connection(url=settings.url, api_key=api_key, api_key_file=api_key_file).key()
    kinds = [name for name, wanted in (("failed", failed), ("expired", expired), ("lost", lost)) if wanted]
    count = put_back_failed(ledger, kinds=kinds)
    others = failed_lines_by_code(ledger)
    print(_told_retry(count, kinds=kinds, others=others), file=sys.stderr)
    before = batch_status(ledger)
    if before.waiting == before.open == 0:
        if as_json:
            print_progress(before)
        return 0
    made = Batch(
        settings,
        api_key=key,
        webhook_secrets=conduct.secrets(),
        relay_key=conduct.relay_key,
        wakes=conduct.wake,
        reads_copy=True,
    )
    return _run(made, conduct, as_json=as_json, left_alone=others.total())


@batch.command(name="export")
def export_batch(
    ledger: _Ledger,
    /,
    *,
    out: Annotated[str, own_option("out", "JSONL file to write. Can also be .gz, .zst or a URL.")],
) -> None:
    """Write the results received so far, in input order.

    Example:
        truss-async batch export results.jsonl.ledger --out ordered.jsonl
    """
    count = export_results(ledger, out=out)
    print(f"wrote {count:,} results to {printable(out)}")


def _told_retry(count: int, *, kinds: list[str], others: Counter[str]) -> str:
    """What a retry is about to do, and what it leaves alone."""
    wanted = {"failed": "failed in the model or was refused", "expired": "expired", "lost": "was lost"}
    which = " or ".join(wanted[kind] for kind in kinds) or "has failed"
    told = f"no line {which}: nothing is submitted again"
    if count:
        told = f"{count:,} {'line is' if count == 1 else 'lines are'} submitted again"
    if others:
        listed = ", ".join(f"{number:,} {code}" for code, number in sorted(others.items()))
        told += f"; lines that failed otherwise stay as they are: {listed}"
    return told


def _run(made: Batch, conduct: Conduct, *, as_json: bool, left_alone: int = 0) -> int:
    end = asyncio.run(_watched(made, conduct, as_json=as_json))
    if end.is_interrupted:
        print(f"interrupted; go on with: {_same_command()}", file=sys.stderr)
    elif not as_json:
        _print_end(end)
    if end.is_interrupted:
        return INTERRUPTED
    return 1 if end.progress.failed > left_alone else 0


async def _watched(made: Batch, conduct: Conduct, *, as_json: bool) -> BatchEnd:
    interrupts = 0

    def interrupt() -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts > 1:
            os._exit(INTERRUPTED)  # what is half written is cut off by the next run
        made.stop(withdraw=conduct.cancel_on_interrupt)
        print_line("ending: what is on its way is stored; once more leaves at once", file=sys.stderr)

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    running = asyncio.ensure_future(made.run())
    await watch(made, running, is_shown=not conduct.no_progress, as_json=as_json)
    return await running


def _print_end(end: BatchEnd) -> None:
    progress = end.progress
    if not progress.lines:
        print(f"there are no lines in the input: {printable(end.out)} is empty")
        return
    print(f"{progress.done:,} of {progress.lines:,} lines have their result in {printable(end.out)}")
    if end.errors is not None:
        print(
            f"{progress.failed:,} failed: see {printable(end.errors)}; "
            f"try again with: truss-async batch retry {shlex.quote(str(end.ledger))}"
        )
    if progress.unanswered:
        print(
            f"{progress.unanswered:,} submissions were not answered, and were made again: the model may have run those twice"
        )


def _survey(settings: BatchSettings, *, as_json: bool) -> int:
    found = survey(settings.input, settings)
    if as_json:
        print_json(json.dumps(asdict(found)))
    else:
        print(f"{found.lines:,} lines, the largest of {found.largest_bytes:,} bytes, to {settings.url}")
        print(
            f"at {settings.rate:g} a second, submitting takes {found.lines / settings.rate:,.0f} s at least"
        )
        for number, why in found.problems:
            print(f"line {number}: {printable(why)}")
        if found.bad:
            print(f"{found.bad:,} would be refused")
    return 1 if found.bad else 0


def _same_command() -> str:
    return printable(shlex.join(["truss-async", *("-" if word == "@-" else word for word in sys.argv[1:])]))
