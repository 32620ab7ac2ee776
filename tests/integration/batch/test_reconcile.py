"""reconcile, redeliver and events, the commands, on what a real harness and a real receiver have left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.cli.conftest import CommandLine
from truss_async import Harness, HarnessSettings
from truss_async.client import HarnessClient, Inbox
from truss_async.client.batch import BatchSettings
from truss_async.client.batch.opening import OpenBatch
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import AsyncPredictResult
from truss_async.endpoint.forwarding import Forwarder
from truss_async.endpoint.intake import Intake
from truss_async.webhooks import WebhookReceiver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET, NEWER = "whsec_" + "a1B2" * 9, "whsec_newer"


class Model:
    def predict(self, model_input: Any) -> Any:
        return {"got": model_input}


@pytest.fixture
def harness() -> Iterator[Harness]:
    settings = HarnessSettings(model=Model, port=0, webhook_secrets=(SECRET,), keep_results="1h")
    with Harness(settings, report=lambda _: None, log=lambda _: None) as harness:
        yield harness


@pytest.fixture
def client(harness: Harness) -> Iterator[HarnessClient]:
    with HarnessClient(harness.url, api_key="any") as client:
        yield client


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], harness: Harness
) -> CommandLine:
    command = CommandLine(tmp_path, monkeypatch, capfd)
    command.set(TRUSS_ASYNC_URL=harness.url)
    return command


@pytest.fixture
def endpoint() -> Iterator[WebhookReceiver]:
    """The user's application; it knows the newer secret, too."""
    with WebhookReceiver(secrets=(NEWER, SECRET)) as receiver:
        yield receiver


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path / "inbox")


@pytest.fixture
def forwarded(client: HarnessClient, inbox: Inbox, endpoint: WebhookReceiver) -> list[str]:
    """Two results that `listen --forward` has kept; of the first, the application has acknowledged nothing."""
    endpoint.answer_next(404)
    intake = Intake(inbox, forwarder=Forwarder(endpoint.url), report=lambda _: None)
    ids = []
    with WebhookReceiver(secrets=(SECRET,), on_delivery=intake.take) as listener:
        for number in range(2):
            ids.append(client.submit(model_input=number, webhook_endpoint=listener.url).request_id)
            client.wait(ids[-1], timeout_seconds=30)
    return ids


def rows(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_requests_are_reconciled_from_a_file_and_what_is_lost_is_a_failure(
    command_line: CommandLine, client: HarnessClient, inbox: Inbox, forwarded: list[str]
) -> None:
    nowhere = client.submit(model_input=1).request_id
    client.wait(nowhere, timeout_seconds=30)
    (command_line.folder / "ids.txt").write_text("\n".join([forwarded[0], nowhere]))
    done = command_line.run("reconcile", "ids.txt", "--inbox", "inbox", "--json")
    assert done.code == 1
    found = json.loads(done.stdout)
    assert [(each["request_id"], each["state"]) for each in found] == [
        (forwarded[0], "result"),
        (nowhere, "lost"),
    ]
    assert "--store" in found[1]["hint"]
    done = command_line.run("reconcile", "inbox", "--since", "1h")
    assert (done.code, len(done.stdout.splitlines())) == (0, 2)
    assert done.stderr == "2 result\n"
    done = command_line.run("reconcile", "-", stdin=f"{nowhere}\n".encode())
    assert (done.code, done.stdout.split()[:2]) == (1, [nowhere, "lost"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["reconcile", "ids.txt", "--since", "1h"], "--since"),
        (["reconcile", "nothing.txt"], "cannot read nothing.txt"),
        (["redeliver"], "--failed"),
        (["redeliver", "a", "--failed"], "--failed"),
        (["redeliver", "a", "--since", "1h"], "--since goes with --failed"),
        (["redeliver", "a", "--inbox", "inbox"], "--to"),
        (["redeliver", "a", "--inbox", "inbox", "--to", "http://127.0.0.1:9"], "--webhook-secret"),
        (["redeliver", "a", "--inbox", "none"], "there is no folder none"),
        (["redeliver", "a", "--inbox", "inbox", "--store", "inbox"], "not both"),
        (["events", "resend"], "events list"),
        (["events", "list", "--inbox", "none"], "there is no folder none"),
    ],
)
def test_what_cannot_be_done_is_a_usage_error(
    command_line: CommandLine, arguments: list[str], said: str
) -> None:
    (command_line.folder / "inbox").mkdir()
    (command_line.folder / "ids.txt").write_text("a")
    done = command_line.run(*arguments)
    assert done.code == 2
    assert said in done.error_line


def test_a_harness_sends_again_what_it_keeps(
    command_line: CommandLine, client: HarnessClient, endpoint: WebhookReceiver
) -> None:
    endpoint.answer_next(404, None, 503)
    request_id = client.submit(model_input=1, webhook_endpoint=endpoint.url).request_id
    client.wait(request_id, timeout_seconds=30)
    done = command_line.run("redeliver", "--failed", "--since", "24h", "--json")
    (row,) = (each for each in rows(done.stdout) if each["request_id"] == request_id)
    assert (done.code, row["request_id"], row["delivered"], row["to"]) == (0, request_id, True, endpoint.url)
    assert command_line.run("redeliver", "--failed").stdout == ""
    done = command_line.run("redeliver", request_id)
    assert (done.code, done.stdout) == (1, f"{request_id}  not delivered: it answered 503\n")
    done = command_line.run("redeliver", "ab" * 16)
    assert done.code == 1
    assert "no result of abab" in done.stdout
    assert len(endpoint.deliveries) == 3


def test_an_inbox_sends_again_what_was_not_acknowledged(
    command_line: CommandLine, endpoint: WebhookReceiver, forwarded: list[str]
) -> None:
    listed = rows(command_line.run("events", "list", "--json").stdout)
    assert [(each["request_id"], each["acknowledged"]) for each in listed] == list(
        zip(forwarded, [False, True], strict=True)
    )
    assert command_line.run("events", "list", "--failed").stdout.count("\n") == 1
    to = ["--to", endpoint.url, "--webhook-secret", NEWER, "--webhook-secret", SECRET]
    done = command_line.run("redeliver", "--failed", "--since", "1h", "--inbox", "inbox", *to)
    assert (done.code, done.stdout.split("  ")[0]) == (0, forwarded[0])
    again = endpoint.deliveries[-1]
    assert again.result is not None
    assert (again.request_id, again.verdict, again.result.data) == (forwarded[0], "valid", {"got": 0})
    assert again.result.time > endpoint.deliveries[0].received_at
    assert command_line.run("redeliver", "--failed", "--inbox", "inbox", *to).stdout == ""


def test_what_was_received_is_shown_and_sent_again(
    command_line: CommandLine, endpoint: WebhookReceiver, inbox: Inbox, forwarded: list[str]
) -> None:
    shown = command_line.run("events", "show", forwarded[1][:8], "--json")
    assert shown.stdout.encode().strip() == inbox.find(forwarded[1])
    assert json.loads(command_line.run("events", "show", forwarded[1]).stdout) == {"got": 1}
    to = ["--to", endpoint.url, "--webhook-secret", SECRET]
    done = command_line.run("events", "resend", forwarded[1][:8], "cd" * 16, *to)
    assert done.code == 1
    assert f"{forwarded[1]}  delivered: 200" in done.stdout
    assert f"{'cd' * 16}  not delivered: there is no result" in done.stdout


def test_a_store_sends_what_the_platform_could_not_deliver(
    command_line: CommandLine, client: HarnessClient, endpoint: WebhookReceiver
) -> None:
    endpoint.answer_next(404)
    store = Inbox(command_line.folder / "outputs")  # the layout of a store, by the default key
    for number in range(2):
        request_id = client.submit(model_input=number, webhook_endpoint=endpoint.url).request_id
        client.wait(request_id, timeout_seconds=30)
        store.keep(request_id, endpoint.deliveries[-1].body)
    store.keep("ef" * 16, endpoint.deliveries[-1].body.replace(request_id.encode(), b"ef" * 16))
    to = ["--to", endpoint.url, "--webhook-secret", SECRET]
    done = command_line.run("redeliver", "--failed", "--since", "1h", "--store", "outputs", *to, "--json")
    (row,) = rows(done.stdout)
    assert (done.code, row["delivered"], row["request_id"]) == (0, True, endpoint.deliveries[0].request_id)
    assert "of 1 of 3 the status is gone" in done.stderr
    done = command_line.run("redeliver", "ef" * 16, "--store", "outputs", *to)
    assert done.code == 0


def test_a_ledger_says_itself_where_its_results_are(
    command_line: CommandLine, harness: Harness, endpoint: WebhookReceiver
) -> None:
    """Of a batch that was ended while a result lay in its inbox already."""
    folder = command_line.folder
    (folder / "inbox").mkdir()
    (folder / "in.jsonl").write_text("1\n")
    settings = BatchSettings(
        input="in.jsonl",
        out="out.jsonl",
        url=harness.url,
        inbox="inbox",
        webhook_endpoint=endpoint.url,
    )
    opened = OpenBatch(settings)
    begun = opened.ledger.begin(at=0)
    assert begun is not None
    assert opened.ledger.accepted(1, begun.submission, "r1")
    opened.close_ledger()
    opened.lines.close()
    result = AsyncPredictResult(request_id="r1", time=SYSTEM_CLOCK.now(), data={"got": 1})
    Inbox(folder / "inbox").keep("r1", result.as_received())
    found = command_line.run("reconcile", "out.jsonl.ledger", "--json")
    assert (found.code, [each["state"] for each in json.loads(found.stdout)]) == (0, ["result"])
    (folder / "elsewhere").mkdir()
    lost = command_line.run("reconcile", "out.jsonl.ledger", "--json", "--inbox", "elsewhere")
    assert (lost.code, [each["state"] for each in json.loads(lost.stdout)]) == (1, ["lost"])
