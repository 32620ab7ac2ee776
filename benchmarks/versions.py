"""``python -m benchmarks versions CHECKOUT``: what a request costs here, against another checkout of the harness.

The checkout has a ``.venv`` of its own with what it needs. A harness of each runs all the while, with a model in its own
process; they are measured in turns, so that whatever else the machine does meets both alike.
"""

import statistics
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .harness import REQUESTS, submit_to_webhook
from .report import Figure
from .servers import Server, started

ROUNDS = 6
# Run by the other version too: only what both have.
HARNESS = """
import gc, sys, threading
from truss_async import Harness, HarnessSettings

async def answer_at_once(model_input):
    return model_input

settings = {"model": answer_at_once, "predict_concurrency": 32, "port": 0, "limits": "none", "state_dir": sys.argv[1]}
with Harness(HarnessSettings(**settings), stories=False) as harness:
    try:
        from truss_async.harness.harness import spare_the_collector
    except ImportError:
        gc.collect()
        gc.freeze()  # as the command serve did before
    else:
        spare_the_collector()
    print(f"listening on {harness.url}", flush=True)
    threading.Event().wait()
"""


def python_of(checkout: Path) -> str:
    """The interpreter that runs a checkout; SystemExit where it has none."""
    python = checkout.absolute() / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} does not exist; run `make install` in {checkout}")
    return str(python)


def cpu_a_request(server: Server) -> float:
    """Processor time of one request, from the submission to the webhook, in microseconds."""
    before = server.cpu_seconds()
    submit_to_webhook(server)
    return (server.cpu_seconds() - before) / REQUESTS * 1e6


def measure(checkout: Path) -> list[Figure]:
    """Processor time a request of both, the median and the least of several rounds, and their ratio."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        before, now = (
            running.enter_context(
                started(
                    python, "-c", HARNESS, f"{folder}/{name}", folder=checked_out
                )  # which it imports from
            )
            for name, python, checked_out in (
                ("before", python_of(checkout), checkout),
                ("now", sys.executable, Path(__file__).parents[1]),
            )
        )
        for server in (before, now):
            submit_to_webhook(server)  # warm
        rounds = [(cpu_a_request(before), cpu_a_request(now)) for _ in range(ROUNDS)]
    figures = []
    for name, of in (("median", statistics.median), ("least", min)):
        then, today = (of(column) for column in zip(*rounds, strict=True))
        figures += [
            Figure(f"CPU a request, {checkout.name}, {name}", then, "µs"),
            Figure(f"CPU a request, here, {name}", today, "µs"),
            Figure(f"here against {checkout.name}, {name}", today / then, "×"),
        ]
    return figures
