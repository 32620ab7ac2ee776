"""``kill -9``, again and again: nothing is lost, and only what was in flight at a kill happens twice."""

import random
import shutil
import signal
import sqlite3
import statistics
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import Served
from tests.integration.harness.model_server import Answer, ModelServer, echo
from truss_async.client import PlatformClient
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_" + "Q7w" * 12
REQUESTS = 500
KILLS = 20
MOST_A_LIFE = (REQUESTS - 20) // KILLS
DEADLINE_SECONDS = 30  # for the first webhook, which is meant to take one: that is measured, and printed

IN_FLIGHT = """
SELECT status, request_id FROM requests
WHERE (status = 'IN_PROGRESS' AND next_attempt_at IS NULL)
   OR (webhook_status = 'PENDING' AND finished_at IS NOT NULL AND next_delivery_at IS NULL)
"""


class Ration:
    """A model that answers so many requests, and holds back the others: a life must leave some for the next."""

    def __init__(self, answers: int) -> None:
        self._answers = threading.Semaphore(answers)

    def __call__(self, model_input: Any) -> Answer:
        self._answers.acquire()
        return echo(model_input)

    def let_go(self) -> None:
        self._answers.release(REQUESTS)


def in_flight(state: Path, copy: Path) -> tuple[list[str], list[str]]:
    """What a killed harness was inferring, and what it was delivering; read from a copy, to change nothing."""
    shutil.copytree(state, copy)
    connection = sqlite3.connect(copy / "queue.sqlite3")
    rows = connection.execute(IN_FLIGHT).fetchall()
    connection.close()
    inferring = [request_id for status, request_id in rows if status == "IN_PROGRESS"]
    return inferring, [request_id for status, request_id in rows if status != "IN_PROGRESS"]


@pytest.mark.timeout(600)  # it starts 21 harnesses, on a machine that may be busy
def test_killed_20_times_with_500_queued_it_loses_none_and_repeats_only_what_was_in_flight(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print("seed", seed)
    state, ids, first_webhook_after = tmp_path / "state", list[str](), list[float]()
    at_kills: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    moment = threading.Event()

    with ModelServer() as model, WebhookReceiver(secrets=[SECRET]) as receiver:
        options = ("--model-url", model.url, "--state-dir", state, "--webhook-secret", SECRET)
        served = Served(*options, "--port", "0", "--limits", "none", cwd=tmp_path)
        for kill in range(KILLS):
            ration = model.behave = Ration(MOST_A_LIFE if ids else 0)
            seen, started = len(receiver.deliveries), time.monotonic()
            with served:
                if ids:
                    receiver.wait_for_count(seen + 1, timeout_seconds=DEADLINE_SECONDS)
                    first_webhook_after.append(time.monotonic() - started)
                    more = chance.randint(1, MOST_A_LIFE)
                    receiver.wait_for_count(seen + more, timeout_seconds=DEADLINE_SECONDS)
                    moment.wait(chance.uniform(0, 0.01))
                else:
                    ids = submit_all(served.url, receiver.url)
                assert served.stop(signal.SIGKILL) == -signal.SIGKILL
            ration.let_go()
            for counter, found in zip(at_kills, in_flight(state, tmp_path / f"kill-{kill}"), strict=True):
                counter.update(found)
        with served, PlatformClient(served.url, api_key="k") as client:
            statuses = [client.wait(request_id, timeout_seconds=60) for request_id in ids]
        delivered = Counter(delivery.request_id for delivery in receiver.deliveries)
        inferred = Counter(request_id for request_id, _ in model.calls)

    print(f"first webhook after {statistics.median(first_webhook_after):.2f} s (median)")
    print("twice:", delivered.total() - REQUESTS, "webhooks,", inferred.total() - REQUESTS, "inferences")
    assert {(each.status.value, each.webhook_status.value) for each in statuses} == {
        ("SUCCEEDED", "SUCCEEDED")
    }
    assert set(delivered) == set(inferred) == set(ids)
    assert inferred <= Counter(ids) + at_kills[0]
    assert delivered <= Counter(ids) + at_kills[1]


def submit_all(url: str, webhook_endpoint: str) -> list[str]:
    with PlatformClient(url, api_key="k") as client:
        return [
            client.submit(model_input=number, webhook_endpoint=webhook_endpoint).request_id
            for number in range(REQUESTS)
        ]
