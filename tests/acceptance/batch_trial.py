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
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from cyclopts import App

from tests.acceptance.serving import COMMAND
from tests.acceptance.trial_harness import BUCKET, Source
from truss_async.client.batch import batch_status
from truss_async.demo.s3_server import S3Server

LIFTED_RATE = 1_000_000
START_SECONDS = 60
TICK_SECONDS = 0.05
TOLD_SECONDS = 30
MOST_MB = 300


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
    harness_peak_mb: float = 0.0
    rates: list[int] = field(default_factory=list)
    """Lines a second in each tenth of the lines: one that falls shows what does not scale."""
    inferred: int = 0
    submissions: int = 0
    unanswered: int = 0
    rate_limited: int = 0
    beyond_contract: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """What is wrong with it; nothing, if the batch kept its promises."""
        lines, found = self.plan.lines, []
        if self.code:
            found.append(f"the batch ended with {self.code}")
        if self.found != lines or self.wrong:
            found.append(f"{self.found:,} of {lines:,} lines are there once; {len(self.wrong):,} are wrong")
        if self.beyond_contract:
            found.append(f"{len(self.beyond_contract):,} calls beyond the platform's contract")
        if self.peak_mb >= MOST_MB:
            found.append(f"the batch had {self.peak_mb:.0f} MB, {MOST_MB} are the most")
        return found

    def verdict(self) -> str:
        """In one paragraph."""
        plan, twice = self.plan, self.inferred - self.plan.lines
        told = "; ".join(self.faults())
        return (
            f"{'FAILED: ' + told if told else 'PASSED: each line is in the output, once'}.\n"
            f"{plan.lines:,} lines in {self.seconds:,.0f} s ({plan.lines / max(self.seconds, 0.001):.0f} a second), "
            f"source {plan.source}, seed {plan.seed}; at most {self.peak_mb:.0f} MB the batch, "
            f"{self.harness_peak_mb:.0f} MB the harness; {twice:,} inferred again ({twice / plan.lines:.2%}), "
            f"{self.submissions - plan.lines:,} submitted again, {self.unanswered:,} submissions unanswered"
        )


class Trial:
    """Starts, kills and starts again what the plan says."""

    def __init__(self, plan: Plan, folder: Path, *, bytecode: Path | None = None) -> None:
        self.plan, self.folder = plan, folder
        self.outcome = Outcome(plan=plan)
        self._chance = random.Random(plan.seed)
        self._moment = threading.Event()
        self._told = Told(plan.lines)
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
            self.outcome.rates = self._told.rates()
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
            tell(f"killed the {victim} at {self._rows.count:,} lines")
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
        outcome = self.outcome
        while (code := self._batch.poll()) is None and self._rows.look() < count:
            outcome.peak_mb = max(outcome.peak_mb, peak_mb(self._batch.pid))
            if self._harness is not None:
                outcome.harness_peak_mb = max(outcome.harness_peak_mb, peak_mb(self._harness.pid))
            self._told.note(self._rows.count, outcome)
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
        command = [sys.executable, "-m", "tests.acceptance.trial_harness"]
        self._harness = self._started(
            [*command, "--folder", str(self.folder), "--port", str(self._port), *options, *limits]
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


def tell(line: str) -> None:
    """To whoever watches."""
    print(line, file=sys.stderr, flush=True)


class Told:
    """How it goes, now and then; and when each tenth of the lines was there."""

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._tenths: list[float] = []
        self._begun = self._told_at = time.monotonic()
        self._told_lines = 0

    def note(self, count: int, outcome: Outcome) -> None:
        """So many lines are there."""
        now = time.monotonic()
        self._tenths += [now] * (10 * count // self._lines - len(self._tenths))
        seconds = now - self._told_at
        if seconds >= TOLD_SECONDS:
            rate = (count - self._told_lines) / seconds
            left = f"{(self._lines - count) / rate / 60:.0f} minutes left" if rate else "nothing comes"
            tell(
                f"{count:,} of {self._lines:,} lines, {rate:.0f} a second, {left}; at most "
                f"{outcome.peak_mb:.0f} MB the batch, {outcome.harness_peak_mb:.0f} MB the harness"
            )
            self._told_at, self._told_lines = now, count

    def rates(self) -> list[int]:
        """Lines a second in each tenth, those that were over before they were looked at left out."""
        ends = [self._begun, *self._tenths]
        spans = (end - start for start, end in pairwise(ends))
        return [round(self._lines / 10 / span) for span in spans if span > 0]


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


app = App()


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
    """A trial in a folder of its own, which is gone in the end, also at Ctrl-C; its outcome as JSON."""
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
    tell(str(plan))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(dir=folder, prefix="batch-trial-") as name:
            outcome = Trial(plan, Path(name)).run()
    except KeyboardInterrupt:
        tell(f"stopped; all processes are ended. The same again: --seed {plan.seed}")
        return 130
    print(json.dumps(asdict(outcome), indent=2))
    tell(outcome.verdict())
    return int(bool(outcome.faults()))


if __name__ == "__main__":
    sys.exit(app())
