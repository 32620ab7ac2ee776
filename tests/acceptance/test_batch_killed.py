"""``kill -9`` of the batch and of the harness: every line is in the output, once, and nothing but the contract is spoken."""

import json
import random
import signal
import subprocess
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from tests.acceptance.serving import COMMAND, Served
from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.client.batch import batch_status

LINES = 200
KILLS = 2


def run_batch(folder: Path, url: str) -> "subprocess.Popen[str]":
    command = [COMMAND, "batch", "run", "in.jsonl", "--out", "out.jsonl", "--url", url, "--no-progress"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_until_done(process: "subprocess.Popen[str]", folder: Path, count: int) -> None:
    """Wait until so many lines are in the output, or the process has ended."""
    moment, out = Event(), folder / "out.jsonl"
    while process.poll() is None and (not out.exists() or out.read_bytes().count(b"\n") < count):
        moment.wait(0.02)


@pytest.mark.timeout(300)  # it starts several processes, on a machine that may be busy
def test_killed_again_and_again_a_batch_ends_with_each_line_once(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    (tmp_path / "in.jsonl").write_text("".join(f'{{"n": {number}}}\n' for number in range(LINES)))
    moments = sorted(chance.sample(range(5, LINES - 40), KILLS * 2))
    victims = chance.sample(["batch", "harness"] * KILLS, KILLS * 2)

    def behave(model_input: Any) -> Answer:
        return Answer(200, json.dumps(model_input).encode())

    with ModelServer() as model:
        model.behave = behave
        options = ("--model-url", model.url, "--state-dir", tmp_path / "state", "--predict-concurrency", "8")
        served = Served(*options, "--port", "0", cwd=tmp_path)
        served.__enter__()
        port = served.url.rpartition(":")[2]
        process = run_batch(tmp_path, served.url)
        for moment, victim in zip(moments, victims, strict=True):
            wait_until_done(process, tmp_path, moment)
            if victim == "batch":
                process.kill()
                process.communicate()
                process = run_batch(tmp_path, served.url)
            else:
                served.stop(signal.SIGKILL)
                served = Served(*options, "--port", port, cwd=tmp_path)
                served.__enter__()
        stdout, stderr = process.communicate(timeout=200)
        code = process.returncode
        served.stop(signal.SIGTERM)
        inferred = Counter(request_id for request_id, _ in model.calls)

    print(stdout, stderr)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    found = Counter(row["custom_id"] for row in rows)
    assert found == Counter({f"line-{number + 1}": 1 for number in range(LINES)})
    assert all(row["response"]["body"] == {"n": int(row["custom_id"][5:]) - 1} for row in rows)
    assert code == 0
    status = batch_status(tmp_path / "out.jsonl.ledger")
    assert (status.done, status.failed, status.open, status.waiting) == (LINES, 0, 0, 0)
    print("inferred:", inferred.total(), "for", LINES, "lines;", status.submissions, "submissions")
