"""Every block of docs/receiving.md runs: on real deliveries of a harness, in two processes that share one inbox."""

import functools
import re
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.serving import COMMAND, ROOT
from tests.integration.harness.model_server import ModelServer
from truss_async import AsyncPredictResult, Deduplicator, Harness, HarnessSettings, PlatformClient, on_result
from truss_async.clock import SYSTEM_CLOCK
from truss_async.webhooks import Delivery, WebhookReceiver, signature_header
from truss_async.webhooks.stored_results import StoredResults

DOC = (ROOT / "docs" / "receiving.md").read_text()
NEW, OLD = "whsec_new", "whsec_old"
INTERFACES = {"fastapi": "asgi", "asgi": "asgi", "flask": "wsgi"}
DEADLINE_SECONDS = 60


def block(name: str) -> str:
    found = re.search(rf"<!-- test: {name} -->\n```(?:python|sh)\n(.*?)```", DOC, re.DOTALL)
    assert found is not None, f"the page has no block {name}"
    return found[1]


def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = SYSTEM_CLOCK.now().timestamp() + DEADLINE_SECONDS
    while not condition():
        assert SYSTEM_CLOCK.now().timestamp() < deadline
        SYSTEM_CLOCK.block(0.02)


@dataclass
class Receivers:
    """Two processes that run the same application in the same folder, and what they print."""

    folder: Path
    urls: list[str]

    def handled(self, request_id: str) -> int:
        """How often the handler was called with the result of that request, in both."""
        lines = [line for file in self.folder.glob("stdout-*") for line in file.read_text().splitlines()]
        return sum(line.startswith(request_id) for line in lines)

    def count_waiting(self) -> int:
        return StoredResults(self.folder / "webhook-inbox.sqlite", clock=SYSTEM_CLOCK).count_waiting()


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Receivers]]:
    """Starts the receivers of a block when they are first asked for, and ends all of them at the end."""
    with ExitStack() as running, pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUSS_ASYNC_WEBHOOK_SECRETS", f"{NEW},{OLD}")

        @functools.cache
        def receivers_of(name: str) -> Receivers:
            folder = tmp_path_factory.mktemp(name)
            (folder / "handling.py").write_text(block("handling"))
            (folder / "app.py").write_text(block(name))
            urls = [start(folder, INTERFACES[name], number, running) for number in (1, 2)]
            return Receivers(folder, urls)

        yield receivers_of


@pytest.fixture(params=list(INTERFACES))
def receivers(request: pytest.FixtureRequest, started: Callable[[str], Receivers]) -> Receivers:
    """Those of each block in turn."""
    return started(request.param)


def start(folder: Path, interface: str, number: int, running: ExitStack) -> str:
    """Its URL; what comes before it is ready waits on the socket."""
    server = running.enter_context(socket.create_server(("127.0.0.1", 0)))
    output = running.enter_context((folder / f"stdout-{number}").open("w"))
    script = str(Path(__file__).with_name("serve_app.py"))
    process = subprocess.Popen(
        [sys.executable, script, interface, str(server.fileno())],
        cwd=folder,
        stdout=output,
        pass_fds=[server.fileno()],
    )
    running.callback(process.wait, DEADLINE_SECONDS)
    running.callback(process.kill)
    return f"http://127.0.0.1:{server.getsockname()[1]}/webhook"


@pytest.fixture(scope="module")
def client() -> Iterator[PlatformClient]:
    """Of a real harness, which signs with a secret that no receiver knows yet, and with their old one."""
    with ModelServer() as model, ExitStack() as running:
        settings = HarnessSettings(model_url=model.url, port=0, webhook_secrets=("whsec_next", OLD))
        harness = running.enter_context(Harness(settings))
        yield running.enter_context(PlatformClient(harness.url, api_key="any"))


@pytest.mark.parametrize("name", re.findall(r"<!-- test: (\w+) -->", DOC))
def test_a_block_is_tested(name: str) -> None:
    assert name in {*INTERFACES, "handling", "verify", "deduplicator", "listen", "try"}


@pytest.mark.parametrize("name", INTERFACES)
def test_a_receiver_takes_less_than_ten_lines(name: str) -> None:
    assert len([line for line in block(name).splitlines() if line.strip()]) < 10


def test_a_delivery_of_the_harness_is_verified_and_handled(
    receivers: Receivers, client: PlatformClient
) -> None:
    request = client.submit(model_input={"page": "é"}, webhook_endpoint=receivers.urls[0])
    status = client.wait(request.request_id, timeout_seconds=DEADLINE_SECONDS)
    assert (status.status, status.webhook_status) == ("SUCCEEDED", "SUCCEEDED")
    until(lambda: receivers.handled(request.request_id) == 1)


def test_the_same_result_at_the_same_instant_in_two_processes_is_handled_once(
    receivers: Receivers, client: PlatformClient
) -> None:
    instant = threading.Barrier(2, timeout=DEADLINE_SECONDS)
    answers: list[int] = []

    def hand_on(delivery: Delivery) -> None:
        """Give one delivery of the harness to both processes."""

        def post(url: str) -> int:
            headers = {name: value for name, value in delivery.headers.items() if name.startswith("x-")}
            with httpx.Client(timeout=DEADLINE_SECONDS) as sender:
                instant.wait()
                return sender.post(url, content=delivery.body, headers=headers).status_code

        with ThreadPoolExecutor(2) as pool:
            answers.extend(pool.map(post, receivers.urls))

    with WebhookReceiver(on_delivery=hand_on) as splitter:
        requests = [client.submit(model_input=number, webhook_endpoint=splitter.url) for number in range(5)]
        for request in requests:
            client.wait(request.request_id, timeout_seconds=DEADLINE_SECONDS)
    assert answers == [200] * 10
    until(lambda: all(receivers.handled(request.request_id) > 0 for request in requests))
    until(lambda: receivers.count_waiting() == 0)
    assert [receivers.handled(request.request_id) for request in requests] == [1] * 5


def test_the_receivers_pass_what_tries_them(receivers: Receivers) -> None:
    command = [*shlex.split(block("try"))[1:-1], receivers.urls[1]]
    outcome = subprocess.run(
        [COMMAND, *command], capture_output=True, text=True, check=False, timeout=DEADLINE_SECONDS
    )
    assert (outcome.returncode, outcome.stderr) == (0, ""), outcome.stdout
    assert outcome.stdout.endswith("\n12 ok\n")


def make_result(request_id: str) -> AsyncPredictResult:
    return AsyncPredictResult(request_id=request_id, time=SYSTEM_CLOCK.now(), data=1)


def test_the_plain_receiver_stores_what_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUSS_ASYNC_WEBHOOK_SECRETS", NEW)
    handled: list[AsyncPredictResult] = []
    with on_result(handled.append, path=tmp_path / "inbox.sqlite") as inbox:
        names: dict[str, Any] = {"inbox": inbox}
        exec(block("verify"), names)
        body = make_result("r1").model_dump_json().encode()
        for secret, status_code in ((NEW, 200), (OLD, 401)):
            headers = {"X-BASETEN-SIGNATURE": signature_header(body, [secret])}
            assert names["receive"](body, headers) == status_code
        until(lambda: len(handled) == 1)


def test_the_deduplicator_handles_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    handled: list[AsyncPredictResult] = []
    names: dict[str, Any] = {"AsyncPredictResult": AsyncPredictResult, "handle": handled.append}
    exec(block("deduplicator"), names)
    for _ in range(2):
        names["receive"](make_result("r1"))
    assert isinstance(names["deduplicator"], Deduplicator)
    assert len(handled) == 1


def test_listen_stands_between_the_platform_and_an_application(
    tmp_path: Path, client: PlatformClient
) -> None:
    with WebhookReceiver(secrets=[NEW, OLD]) as application, ExitStack() as running:
        command = shlex.split(block("listen"))[1:-1]
        process = running.enter_context(
            subprocess.Popen(
                [COMMAND, *command, application.url, "--port", "0", "--webhook-secret", OLD],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        running.callback(process.kill)
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        request = client.submit(model_input=1, webhook_endpoint=url)
        assert application.wait_for(request.request_id, timeout_seconds=DEADLINE_SECONDS).verdict == "valid"
        assert ", forwarded: 200 in " in process.stdout.readline()
    assert (tmp_path / "inbox" / f"{request.request_id}.json").is_file()
