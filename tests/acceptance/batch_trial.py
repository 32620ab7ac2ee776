"""A batch that everything happens to: ``python -m tests.acceptance.batch_trial run --lines 1000000``.

The batch, the harness and the store are killed with -9 at moments drawn from a seed, and so are the webhooks and the
inference attempts that fail; in the end each line has to be in the output once. The model counts what it infers in a file,
which outlives the harness. The harness answers nothing but the platform's contract.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import psutil
from cyclopts import App

from tests.acceptance.serving import COMMAND
from truss_async import AsyncOutputModel, FaultKind, FaultRule, Harness, HarnessSettings
from truss_async.client.batch import batch_status
from truss_async.demo.s3_server import S3Server

BUCKET = "trial"
LIFTED_RATE = 1_000_000
START_SECONDS = 60
TICK_SECONDS = 0.05

Source = Literal["receive", "store"]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``source``: results come to a receiver of the batch, and 1 % of webhooks fail; or they are in an S3 store, which is killed, too."""

    lines: int
    line_bytes: int = 1000
    source: Source = "receive"
    seed: int = 0
    kills: int = 2
    harness_kills: int = 2
    store_kills: int = 1
    share_failing: float = 0.01
    has_limits: bool = False

    def with_seed(self, seed: int) -> "Plan":
        return replace(self, seed=seed)

    @property
    def victims(self) -> list[str]:
        store = ["store"] * self.store_kills if self.source == "store" else []
        return ["batch"] * self.kills + ["harness"] * self.harness_kills + store


@dataclass(kw_only=True)
class Outcome:
    """What it came to. ``inferred`` and ``submissions`` beyond the lines were made twice."""

    plan: Plan
    seconds: float = 0.0
    code: int = 0
    found: int = 0
    wrong: list[str] = field(default_factory=list)
    peak_mb: float = 0.0
    inferred: int = 0
    submissions: int = 0
    unanswered: int = 0
    rate_limited: int = 0
    beyond_contract: list[str] = field(default_factory=list)


class Trial:
    """Starts, kills and starts again what the plan says."""

    def __init__(self, plan: Plan, folder: Path, *, bytecode: Path | None = None) -> None:
        self.plan, self.folder = plan, folder
        self.outcome = Outcome(plan=plan)
        self._chance = random.Random(plan.seed)
        self._moment = threading.Event()
        self._rows = RowCount(folder / "out.jsonl")
        self._running = ExitStack()
        self._environment = _with_bytecode(os.environ, bytecode or folder / "bytecode")
        self._port = 0
        self._harness: subprocess.Popen[str] | None = None
        self._batch: subprocess.Popen[str] | None = None
        self._store: S3Server | None = None

    def run(self) -> Outcome:
        """The whole of it; what is left over in the end is ended."""
        write_input(self.folder / "in.jsonl", lines=self.plan.lines, line_bytes=self.plan.line_bytes)
        with self._running:
            self._start_store()
            self._start_harness()
            begun = time.monotonic()
            self._start_batch()
            self._kill_now_and_then()
            self.outcome.code = self._wait_for_batch(self.plan.lines + 1)
            self.outcome.seconds = time.monotonic() - begun
            self.outcome.rate_limited = self._last_told()["rate_limited"]
            self._judge()
        return self.outcome

    def _last_told(self) -> dict[str, Any]:
        """The last progress of the batch."""
        assert self._batch is not None
        assert self._batch.stdout is not None
        told: dict[str, Any] = json.loads(self._batch.stdout.read().splitlines()[-1])
        return told

    def _kill_now_and_then(self) -> None:
        victims, most = self.plan.victims, int(self.plan.lines * 0.9)
        self._chance.shuffle(victims)
        moments = sorted(self._chance.sample(range(self.plan.lines // 50, most), len(victims)))
        again: dict[str, Callable[[], None]] = {
            "batch": self._start_batch,
            "harness": self._start_harness,
            "store": self._start_store,
        }
        for moment, victim in zip(moments, victims, strict=True):
            self._wait_for_batch(moment)
            self._kill(victim)
            print(f"killed the {victim} at {self._rows.count} lines", file=sys.stderr, flush=True)
            again[victim]()

    def _kill(self, victim: str) -> None:
        if victim == "store":
            assert self._store is not None
            self._store.kill()
            return
        process = self._batch if victim == "batch" else self._harness
        assert process is not None
        end(process)

    def _wait_for_batch(self, count: int) -> int:
        """Until so many lines are in the output, or it has ended; its exit code."""
        assert self._batch is not None
        while (code := self._batch.poll()) is None and self._rows.look() < count:
            self.outcome.peak_mb = max(self.outcome.peak_mb, peak_mb(self._batch.pid))
            self._moment.wait(TICK_SECONDS)
        return code or 0

    def _start_store(self) -> None:
        if self.plan.source != "store":
            return
        if self._store is None:
            self._store = S3Server(self.folder / "store", start_seconds=START_SECONDS)
            self._running.callback(self._store.stop)
            self._store.start()
            self._store.create_bucket(BUCKET)
            self._environment.update(self._store.environment())
        else:
            self._store.start()

    def _start_harness(self) -> None:
        plan = self.plan
        options = (
            "--source",
            plan.source,
            "--seed",
            str(plan.seed),
            "--share-failing",
            str(plan.share_failing),
        )
        limits = ["--has-limits"] if plan.has_limits else []
        command = [
            sys.executable,
            "-m",
            __name__ if __name__ != "__main__" else "tests.acceptance.batch_trial",
        ]
        self._harness = self._started(
            [*command, "serve", "--folder", str(self.folder), "--port", str(self._port), *options, *limits]
        )
        assert self._harness.stdout is not None
        line = self._harness.stdout.readline()
        assert line.startswith("listening on "), line
        self._port = int(line.rpartition(":")[2])

    def _start_batch(self) -> None:
        where = ["--store", f"s3://{BUCKET}/outputs"] if self.plan.source == "store" else ["--receive"]
        rate = [] if self.plan.has_limits else ["--rate", str(LIFTED_RATE)]
        url = f"http://127.0.0.1:{self._port}"
        self._batch = self._started(
            [
                *(COMMAND, "batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", url),
                *("--json", *where, *rate),
            ]
        )

    def _started(self, command: list[str]) -> "subprocess.Popen[str]":
        with (self.folder / "said").open("a") as said:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**self._environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
            )
        self._running.callback(end, process)
        return process

    def _judge(self) -> None:
        outcome, lines = self.outcome, self.plan.lines
        seen = bytearray(lines)
        with (self.folder / "out.jsonl").open("rb") as file:
            for row in map(json.loads, file):
                number = int(row["custom_id"].removeprefix("line-")) - 1
                seen[number] = min(2, seen[number] + 1)
                if row["response"]["body"] != {"n": number}:
                    outcome.wrong.append(f"another body: {row}")
        outcome.found = seen.count(1)
        outcome.wrong += [f"line {number + 1} is there twice" for number in range(lines) if seen[number] == 2]
        status = batch_status(self.folder / "out.jsonl.ledger")
        outcome.submissions, outcome.unanswered = status.submissions, status.unanswered
        outcome.inferred = (self.folder / "inferred").stat().st_size
        refused = self.folder / "refused"
        outcome.beyond_contract = refused.read_text().splitlines() if refused.exists() else []


def _with_bytecode(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Whoever is started again and again compiles its modules once: that is half of a start."""
    kept = {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder)}


class RowCount:
    """How many rows a growing file has, read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self.count = 0

    def look(self) -> int:
        if self._path.exists():
            with self._path.open("rb") as file:
                self._read = min(self._read, self._path.stat().st_size)  # half a row was cut off
                file.seek(self._read)
                new = file.read()
                self._read += len(new)
                self.count += new.count(b"\n")
        return self.count


def peak_mb(pid: int) -> float:
    """The most memory that a process has had so far, where the machine tells; else what it has now."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float(psutil.Process(pid).memory_info().rss) / 1e6 if psutil.pid_exists(pid) else 0.0
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(found[0]) * 1024 / 1e6 if found else 0.0


def write_input(path: Path, *, lines: int, line_bytes: int) -> None:
    """Lines that are told apart by a number."""
    filler = "x" * (line_bytes - 24)
    with path.open("w") as file:
        for number in range(lines):
            file.write(f'{{"n": {number}, "text": "{filler}"}}\n')


def end(process: "subprocess.Popen[str]") -> None:
    """Without a word, if it runs."""
    process.kill()
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Counting:
    """A model that takes no time, and counts in a file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def predict(self, model_input: Any) -> Any:
        os.write(self._descriptor, b".")
        return {"n": model_input["n"]}


def saving(model: Counting) -> type[AsyncOutputModel]:
    """The same with the plugin."""

    class Saving(AsyncOutputModel):
        output_url = f"s3://{BUCKET}/outputs"

        async def predict(self, model_input: dict[str, Any]) -> Any:
            return await model.predict(model_input)

    return Saving


def block_own_calls(refused: Path) -> None:
    """Let the harnesses of this process answer nothing that the platform would not."""
    from truss_async.harness.api.app import Api

    answer = Api.__call__

    async def guarded(self: Api, scope: Any, receive: Any, send: Any) -> None:
        if not scope["path"].startswith(("/production/", "/async_request/")):
            with refused.open("a") as file:
                file.write(f"{scope['method']} {scope['path']}\n")
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body", "body": b"{}"})
            return
        await answer(self, scope, receive, send)

    Api.__call__ = guarded  # type: ignore[method-assign]


app = App()


@app.command
def serve(
    *, folder: Path, port: int, source: Source, seed: int, share_failing: float, has_limits: bool = False
) -> None:
    """The harness of a trial, in this process."""
    block_own_calls(folder / "refused")
    model = Counting(folder / "inferred")
    failing = [FaultKind.MODEL_500, *([FaultKind.WEBHOOK_DROPPED] if source == "receive" else [])]
    settings = HarnessSettings(
        model=saving(model) if source == "store" else model.predict,
        predict_concurrency=32,
        port=port,
        state_dir=folder / "state",
        limits="current" if has_limits else "none",
        quiet=True,
        faults=tuple(
            FaultRule(kind=kind, rate=share_failing, seed=seed) for kind in failing if share_failing
        ),
    )
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Harness(settings, stories=False, log=lambda _: None) as harness:
        print(f"listening on {harness.url}", flush=True)
        ended.wait()


@app.command
def run(
    *,
    lines: int = 1_000_000,
    source: Source = "receive",
    seed: int | None = None,
    kills: int = 10,
    harness_kills: int = 10,
    store_kills: int = 3,
    share_failing: float = 0.01,
    limits: bool = False,
    folder: Path | None = None,
) -> int:
    """A trial in a folder of its own; its outcome as JSON."""
    plan = Plan(
        lines=lines,
        source=source,
        seed=random.randrange(2**32) if seed is None else seed,
        kills=kills,
        harness_kills=harness_kills,
        store_kills=store_kills,
        share_failing=share_failing,
        has_limits=limits,
    )
    print(plan, file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        outcome = Trial(plan, Path(name)).run()
    print(json.dumps(asdict(outcome), indent=2))
    is_whole = outcome.found == lines and not outcome.wrong and not outcome.beyond_contract
    return 0 if is_whole and outcome.code == 0 and outcome.peak_mb < 300 else 1


if __name__ == "__main__":
    sys.exit(app())
