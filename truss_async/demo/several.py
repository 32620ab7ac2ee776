"""Several nodes on one PostgreSQL database, one of which is killed at work: what becomes of the requests."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from ..client import PlatformClient
from ..clock import SYSTEM_CLOCK
from ..contract import RequestStatus, WebhookStatus
from ..errors import SettingsError
from ..harness.scratch_folders import scratch_folder
from ..webhooks import WebhookReceiver
from ..webhooks.receiver import VALID
from .balancer import Balancer
from .node import Node
from .postgres_server import PostgresServer
from .screen import Screen

if TYPE_CHECKING:
    from ..clock import MovableClock
    from ..contract import AsyncRequestStatus
    from ..webhooks.receiver import Delivery

LEASE_SECONDS: Final = 3
_AT_ONCE: Final = 4
_LATENCY_SECONDS: Final = 0.3
_STUB: Final = (
    *("--stub", "echo", "--latency", f"{_LATENCY_SECONDS}s"),
    *("--predict-concurrency", str(_AT_ONCE), "--concurrency-target", str(_AT_ONCE), "--limits", "none"),
)
_BEFORE_A_NODE: Final = 40
_AFTER: Final = 40
_POLL_SECONDS: Final = 0.05
# However slow the machine, or the nodes that are left.
_LONGEST_SECONDS: Final = 120.0
_RUN_AGAIN: Final = "SELECT count(*) FROM truss_async.requests WHERE interruptions > 0"


def run_nodes_demo(
    count: int, *, screen: Screen | None = None, clock: MovableClock = SYSTEM_CLOCK
) -> list[str]:
    """Serve a stub on so many nodes, kill one of them while it works, and look for every result.

    Returns one line for each thing that did not hold. Everything that is started is stopped when it returns, however it
    returns. Raises SettingsError for fewer than two nodes, HarnessError when something does not start.
    """
    if count < 2:
        raise SettingsError("--nodes must be at least 2, since one of them is killed")
    screen = screen or Screen(clock=clock)
    secret = f"whsec_{secrets.token_hex(19)}"
    with ExitStack() as started:
        folder = started.enter_context(scratch_folder())
        database = started.enter_context(PostgresServer(clock=clock))
        ((version,),) = database.ask("SHOW server_version")
        screen.say(f"PostgreSQL {version} started, with an empty database")
        options = (*_STUB, "--state", database.address, "--lease-seconds", str(LEASE_SECONDS))
        nodes = [
            started.enter_context(
                Node(
                    f"node {number}",
                    *options,
                    folder=folder,
                    environment={"TRUSS_ASYNC_WEBHOOK_SECRET": secret},
                )
            )
            for number in range(1, count + 1)
        ]
        for node in nodes:
            screen.say(f"{node.name} on {node.url} serves a stub, {_AT_ONCE} requests at a time")
        balancer = started.enter_context(Balancer([node.url for node in nodes]))
        screen.say(f"load balancer on {balancer.url}: each call goes to the next node")
        receiver = started.enter_context(WebhookReceiver(secrets=(secret,), clock=clock))
        client = started.enter_context(PlatformClient(balancer.url, api_key="demo", clock=clock))
        trial = _Trial(nodes, balancer, receiver, client, screen=screen, clock=clock)
        trial.submit(_BEFORE_A_NODE * count)
        trial.wait_for(_BEFORE_A_NODE)
        trial.kill(nodes[1])
        trial.submit(_AFTER)
        trial.wait_for(len(trial.submitted))
        ((run_again,),) = database.ask(_RUN_AGAIN)
        return trial.conclude(run_again)


class _Trial:
    """The requests on their way, by their ids, and what each one asked."""

    def __init__(
        self,
        nodes: Sequence[Node],
        balancer: Balancer,
        receiver: WebhookReceiver,
        client: PlatformClient,
        *,
        screen: Screen,
        clock: MovableClock,
    ) -> None:
        self._nodes, self._balancer, self._receiver, self._client = nodes, balancer, receiver, client
        self._screen, self._clock = screen, clock
        self._killed_at = clock.monotonic()
        self.submitted: dict[str, dict[str, int]] = {}

    def submit(self, count: int) -> None:
        before = self._balancer.answered
        for _ in range(count):
            asked = {"number": len(self.submitted) + 1}
            accepted = self._client.submit(model_input=asked, webhook_endpoint=self._receiver.url)
            self.submitted[accepted.request_id] = asked
        taken = self._balancer.answered - before
        shares = ", ".join(f"{taken[node.url]} by {node.name}" for node in self._nodes if taken[node.url])
        self._screen.say(f"{count} async requests accepted: {shares}")

    def wait_for(self, count: int) -> None:
        """Until so many requests have their results, or it takes too long."""
        deadline = self._clock.monotonic() + _LONGEST_SECONDS
        with self._screen.busy(f"waiting for {count} results"):
            while len(self._results()) < count and self._clock.monotonic() < deadline:
                self._clock.block(_POLL_SECONDS)

    def kill(self, node: Node) -> None:
        node.kill()
        self._killed_at = self._clock.monotonic()
        self._screen.say(
            f"{node.name} killed with kill -9, at work, when {len(self._results())} results had arrived"
        )

    def conclude(self, run_again: int) -> list[str]:
        """Say what came of it; what did not hold."""
        arrived = self._results()
        seconds = self._clock.monotonic() - self._killed_at
        self._screen.say(
            f"{len(arrived)} of {len(self.submitted)} results arrived, the last within {seconds:.1f} s of the kill"
        )
        self._screen.say(
            f"requests that the killed node was running, and the others ran again once its lease of "
            f"{LEASE_SECONDS} s had ended: {run_again}"
        )
        repeated = sum(times > 1 for times in arrived.values())
        self._screen.say(f"results that arrived more than once: {repeated}")
        problems = [
            f"{request_id}: {problem}"
            for request_id in self.submitted
            if (problem := self._problem(request_id)) is not None
        ]
        if not problems:
            self._screen.say(
                "nothing is lost: each request SUCCEEDED, and its signed webhook holds its own output"
            )
            self._screen.say(
                "next: the same with your truss and your database: truss-async serve TRUSS --state postgresql://…"
            )
        return problems

    def _results(self) -> Counter[str]:
        """How often the result of each request has arrived."""
        return Counter(each.request_id for each in self._receiver.deliveries if each.request_id is not None)

    def _problem(self, request_id: str) -> str | None:
        sent = [each for each in self._receiver.deliveries if each.request_id == request_id]
        if not sent:
            return find_problem(sent, self._client.status(request_id), asked=self.submitted[request_id])
        # It is recorded as delivered a moment after it has arrived.
        status = self._client.wait(request_id, timeout_seconds=_LONGEST_SECONDS)
        return find_problem(sent, status, asked=self.submitted[request_id])


def find_problem(
    sent: Sequence[Delivery], status: AsyncRequestStatus, *, asked: Mapping[str, object]
) -> str | None:
    """What did not hold of one request, whose model answers what it is asked; None when all did."""
    state = f"{status.status.value}, webhook {status.webhook_status.value}"
    if not sent:
        return f"no result arrived; it is {state}"
    refused = next((each.verdict for each in sent if each.verdict != VALID), None)
    if refused is not None:
        return f"the signature of its webhook is not valid: {refused}"
    if any(each.result is None or each.result.data != asked for each in sent):
        return "its webhook holds another output than its own"
    if (status.status, status.webhook_status) != (RequestStatus.SUCCEEDED, WebhookStatus.SUCCEEDED):
        return f"it is {state}"
    return None
