"""Three nodes on one database, and everything happens to them: ``python -m tests.acceptance.chaos_trial run --requests 20000``.

Nodes are killed with -9 and stopped for shorter and longer than a lease, their connections are cut, the database restarts,
and an old snapshot is held open, at moments drawn from a seed, while requests are submitted to whichever node answers. In the
end each has to be in its right state, with a verified webhook, and nothing may have been done twice but for a lost lease.
"""

import itertools
import json
import random
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from cyclopts import App

from tests.acceptance.chaos_verdict import AUDIT, Inferred, Judge, Outcome, counted
from tests.acceptance.serving import DidNotStartError, Served
from tests.integration.harness.model_server import Answer, ModelServer, echo
from tests.postgres_server import PostgresServer
from truss_async.clock import SYSTEM_CLOCK
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_" + "Q7w" * 12
SUBMITTERS = 16  # each may wait for a node that is stopped
SUBMIT_SECONDS = 2.0
SLOTS = 16
CALM_SHARE = 0.05
START_SECONDS = 60.0
SETTLE_SECONDS = 120.0
TICK_SECONDS = 0.1
OF_NODES = ("kill", "stop for long", "stop for short", "cut")
OF_DATABASE = ("restart at once", "restart")
SNAPSHOT = "old snapshot"
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s"
OPEN = "SELECT count(*) FROM truss_async.requests WHERE over_at IS NULL"


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What happens to a victim, ``at`` seconds after the beginning, and for how long."""

    at: float
    victim: str
    kind: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``requests`` that are accepted, spread evenly over the trouble and a little longer."""

    requests: int
    seconds: float
    seed: int
    nodes: int = 3
    lease_seconds: float = 3.0
    ready_seconds: float = 2.0
    """So soon after the trouble there is a webhook."""

    def names(self) -> list[str]:
        """Of the nodes."""
        return [f"node_{number}" for number in range(1, self.nodes + 1)]

    def troubles(self) -> list[Trouble]:
        """Of each victim one after the other; of several at once, as chance will have it."""
        chance, lease = random.Random(self.seed), self.lease_seconds
        lengths = {
            "kill": (0.0, 2 * lease),
            "stop for long": (1.5 * lease, 3 * lease),
            "stop for short": (0.05 * lease, 0.6 * lease),
            "cut": (0.0, 0.0),
            "restart at once": (0.0, 2 * lease),
            "restart": (0.0, 2 * lease),
            SNAPSHOT: (lease, 10 * lease),
        }
        calm = {"database": 8 * lease, SNAPSHOT: 8 * lease}
        kinds = {"database": OF_DATABASE, SNAPSHOT: (SNAPSHOT,)}
        found = []
        for victim in [*self.names(), "database", SNAPSHOT]:
            at = 0.0
            while (at := at + chance.uniform(0.2, 1.8) * calm.get(victim, 3 * lease)) < self.seconds - lease:
                kind = chance.choice(kinds.get(victim, OF_NODES))
                length = min(chance.uniform(*lengths[kind]), self.seconds - at)
                found.append(Trouble(at=at, victim=victim, kind=kind, seconds=length))
                at += length
        return found


class Model:
    """Notes which node asked it for what, and takes a moment that depends on the input alone."""

    def __init__(self, node: str, noted: list[Inferred]) -> None:
        self._node, self._noted = node, noted

    def __call__(self, model_input: Any) -> Answer:
        self._noted.append(Inferred(model_input, self._node, SYSTEM_CLOCK.now().timestamp()))
        # Now and then it takes long enough for anything to happen meanwhile.
        SYSTEM_CLOCK.block(4.0 if model_input % 50 == 0 else 0.1 + model_input % 10 / 10)
        return echo(model_input)


class Trial:
    """Starts three nodes, lets the plan happen to them, and judges what came of it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan, self.folder = plan, folder
        self.outcome = Outcome(seed=plan.seed, requests=plan.requests, seconds=plan.seconds)
        self._database = PostgresServer()
        self._inferred: list[Inferred] = []
        self._accepted: dict[str, int] = {}
        self._numbers = itertools.count()
        self._nodes: dict[str, Served] = {}
        self._urls: dict[str, str] = {}
        self._models: dict[str, ModelServer] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._defects: list[BaseException] = []

    def run(self) -> Outcome:
        """The whole of it; nothing is left of it in the end."""
        with ExitStack() as running:
            running.callback(self._database.remove)
            self._database.start()
            receiver = running.enter_context(WebhookReceiver(secrets=[SECRET]))
            for name in self.plan.names():
                model = ModelServer(Model(name, self._inferred))
                self._models[name] = running.enter_context(model)
                self._database.ask(f"CREATE ROLE {name} LOGIN SUPERUSER")
            running.callback(self._stop_nodes)
            for name in self.plan.names():
                self._start(name)
            self._database.ask(AUDIT)
            running.callback(self._ended.set)
            ended_at = self._have_trouble(receiver)
            self._settle(receiver, ended_at)
            Judge(self.outcome, self._database).judge(self._accepted, self._inferred, receiver.deliveries)
        return self.outcome

    def _have_trouble(self, receiver: WebhookReceiver) -> float:
        """Until all are up again, and all requests are submitted; when the trouble was over, in seconds since 1970."""
        troubles, begun = self.plan.troubles(), SYSTEM_CLOCK.monotonic()
        self.outcome.troubles = counted(each.kind for each in troubles)
        victims = sorted({each.victim for each in troubles})
        lanes = [
            self._thread(self._suffer, begun, [each for each in troubles if each.victim == victim])
            for victim in victims
        ]
        submitters = [self._thread(self._submit, begun, number, receiver.url) for number in range(SUBMITTERS)]
        for lane in lanes:
            lane.join()
        ended_at = SYSTEM_CLOCK.now().timestamp()
        tell(f"the trouble is over; {len(self._accepted):,} requests are accepted")
        for submitter in submitters:
            submitter.join()
        if self._defects:
            raise self._defects[0]
        return ended_at

    def _thread(self, work: Callable[..., None], *arguments: Any) -> threading.Thread:
        def run() -> None:
            try:
                work(*arguments)
            except BaseException as error:
                self._defects.append(error)
                self._ended.set()
                raise

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def _settle(self, receiver: WebhookReceiver, ended_at: float) -> None:
        deadline = SYSTEM_CLOCK.monotonic() + SETTLE_SECONDS
        while (still_open := self._database.ask(OPEN)[0][0]) and SYSTEM_CLOCK.monotonic() < deadline:
            SYSTEM_CLOCK.block(TICK_SECONDS)
        outcome = self.outcome
        outcome.settled_seconds = SYSTEM_CLOCK.now().timestamp() - ended_at
        if still_open:
            outcome.faults.append(
                f"{still_open:,} are still open {SETTLE_SECONDS:g} s after the last was accepted"
            )
        outcome.accepted = len(self._accepted)
        received = (each.received_at.timestamp() - ended_at for each in receiver.deliveries)
        outcome.first_webhook_seconds = min((after for after in received if after >= 0), default=None)
        if outcome.first_webhook_seconds is None or outcome.first_webhook_seconds > self.plan.ready_seconds:
            outcome.faults.append(f"no webhook within {self.plan.ready_seconds:g} s of the trouble's end")

    def _suffer(self, begun: float, troubles: list[Trouble]) -> None:
        for trouble in troubles:
            if self._ended.wait(max(0.0, begun + trouble.at - SYSTEM_CLOCK.monotonic())):
                return
            tell(f"{trouble.at:6.1f} s: {trouble.victim}: {trouble.kind}, {trouble.seconds:.1f} s")
            self._do(trouble)

    def _do(self, trouble: Trouble) -> None:
        if trouble.kind == SNAPSHOT:
            self._hold_snapshot(trouble.seconds)
        elif trouble.victim == "database":
            self._database.stop(at_once=trouble.kind == "restart at once")
            self._ended.wait(trouble.seconds)
            self._database.start()
        elif trouble.kind == "cut":
            self._cut(trouble.victim)
        elif trouble.kind == "kill":
            self._nodes[trouble.victim].stop(signal.SIGKILL)
            self._ended.wait(trouble.seconds)
            self._start(trouble.victim)
        else:
            node = self._nodes[trouble.victim]
            node.process.send_signal(signal.SIGSTOP)
            self._ended.wait(trouble.seconds)
            node.process.send_signal(signal.SIGCONT)

    def _hold_snapshot(self, seconds: float) -> None:
        try:
            with psycopg.connect(self._database.address) as old:
                old.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                old.execute("SELECT count(*) FROM pg_class")
                self._ended.wait(seconds)
                old.rollback()
        except psycopg.OperationalError:
            """The database went away meanwhile, and the snapshot with it."""

    def _cut(self, node: str) -> None:
        try:
            with psycopg.connect(self._database.address, autocommit=True) as connection:
                connection.execute(CUT, [node])
        except psycopg.OperationalError:
            """They are cut as it is."""

    def _start(self, name: str) -> None:
        """Again and again: a node that finds no database ends."""
        address = self._database.address.replace("//postgres@", f"//{name}@")
        what = ("--model-url", self._models[name].url, "--model-id", "m", "--predict-concurrency", str(SLOTS))
        how = ("--port", "0", "--limits", "none", "--quiet", "--webhook-secret", SECRET, "--no-page")
        lease = ("--state", address, "--lease-seconds", str(self.plan.lease_seconds))
        deadline = SYSTEM_CLOCK.monotonic() + START_SECONDS
        while True:
            try:
                self._nodes[name] = Served(*what, *how, *lease, cwd=self.folder).__enter__()
            except DidNotStartError:
                if SYSTEM_CLOCK.monotonic() > deadline:
                    raise
            else:
                self._urls[name] = self._nodes[name].url
                return

    def _stop_nodes(self) -> None:
        for node in self._nodes.values():
            node.process.send_signal(signal.SIGCONT)
            node.stop(signal.SIGKILL)

    def _submit(self, begun: float, submitter: int, receiver_url: str) -> None:
        """Every so often one, to whichever node takes it."""
        share = range(submitter, self.plan.requests, SUBMITTERS)
        pace = self.plan.seconds * (1 + CALM_SHARE) / self.plan.requests
        with httpx.Client(timeout=SUBMIT_SECONDS, headers={"Authorization": "Api-Key k"}) as client:
            for turn in share:
                if self._ended.wait(max(0.0, begun + turn * pace - SYSTEM_CLOCK.monotonic())):
                    return
                for name in itertools.islice(itertools.cycle(self.plan.names()), turn, None):
                    if self._ended.is_set() or self._submitted(client, self._urls[name], receiver_url):
                        break
                    self._ended.wait(TICK_SECONDS)

    def _submitted(self, client: httpx.Client, url: str, receiver_url: str) -> bool:
        number = next(
            self._numbers
        )  # of each submission, for one that is not answered may have been accepted
        body = {"model_input": number, "webhook_endpoint": receiver_url}
        try:
            answer = client.post(f"{url}/production/async_predict", json=body)
        except httpx.TransportError:
            with self._lock:
                self.outcome.unanswered += 1
            return False
        if answer.status_code == 503:
            with self._lock:
                self.outcome.refused += 1
            return False
        if answer.status_code != 201:
            self.outcome.faults.append(f"a call was answered {answer.status_code}: {answer.text}")
            tell("".join(node.stderr for node in self._nodes.values() if node.url == url))
            return False
        self._accepted[answer.json()["request_id"]] = number
        return True


def tell(line: str) -> None:
    """To whoever watches."""
    print(line, file=sys.stderr, flush=True)


app = App()


@app.command
def run(
    *,
    requests: int = 20_000,
    seconds: float = 600,
    lease_seconds: float = 3,
    seed: int | None = None,
    folder: Path | None = None,
) -> int:
    """A trial in a folder of its own, which is gone in the end, also at Ctrl-C; its outcome as JSON."""
    chosen = random.randrange(2**32) if seed is None else seed
    plan = Plan(requests=requests, seconds=seconds, lease_seconds=lease_seconds, seed=chosen)
    tell(str(plan))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="chaos-trial-") as name:
            outcome = Trial(plan, Path(name)).run()
    except KeyboardInterrupt:
        tell(f"stopped; all processes are ended. The same again: --seed {plan.seed}")
        return 130
    print(json.dumps(asdict(outcome), indent=2))
    tell(outcome.verdict())
    return int(bool(outcome.faults))


if __name__ == "__main__":
    sys.exit(app())
