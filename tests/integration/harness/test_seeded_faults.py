"""A run in which a share of everything goes wrong: each request ends as it must, and nothing that was computed is lost."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.serving import make_truss
from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import outcome
from truss_async.client import HarnessClient
from truss_async.clock import ManualClock
from truss_async.contract import AsyncRequestStatus, WebhookStatus
from truss_async.contract.faults import FaultKind, FaultRule
from truss_async.demo.s3_server import S3Server
from truss_async.harness.faults import Occasion, fits
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.stores import OutputStore
from truss_async.webhooks.receiver import WebhookReceiver

REQUESTS = 200
RATE = 0.05
SEED = 1687  # it draws few crashes, each of which costs the start of a model server in real time
MAX_ATTEMPTS = 3
DELIVERY_ATTEMPTS = 2
THREE_DAYS = 259_200

MODEL = """
from truss_async.model import AsyncOutputModel


class Model(AsyncOutputModel):
    output_timeout_seconds = 0.3
    output_check = False

    def predict(self, model_input):
        return {"square": model_input * model_input}
"""
CONFIG = 'requirements: ["truss-async[s3]"]\n'

RULES = tuple(
    FaultRule(kind=kind, rate=RATE, seed=SEED, seconds=0.001 if kind is FaultKind.MODEL_CRASH else None)
    for kind in FaultKind
    if not kind.is_of_call  # which no request lives through
)
MADE_AS_IT_SHOULD_BE = {
    None,
    FaultKind.WEBHOOK_DOUBLED,
    FaultKind.WEBHOOK_DELAYED,
    FaultKind.WEBHOOK_REORDERED,
}
REFUSED = {FaultKind.WEBHOOK_WRONG_SIGNATURE, FaultKind.WEBHOOK_OLD_TIMESTAMP}


def struck_by(order: int, attempt: int, kinds: Iterable[FaultKind]) -> FaultKind | None:
    occasion = Occasion("any", "any", order, attempt)
    return next((rule.kind for rule in RULES if rule.kind in kinds and fits(rule, occasion)), None)


def inference_ends_well(order: int) -> bool:
    kinds = {
        kind
        for kind in FaultKind
        if not (kind.is_of_webhook or kind.is_of_call or kind is FaultKind.MODEL_429)
    }
    return any(struck_by(order, attempt, kinds) is None for attempt in range(1, MAX_ATTEMPTS + 1))


def delivery_ends_well(order: int) -> bool:
    kinds = {kind for kind in FaultKind if kind.is_of_webhook}
    for attempt in range(1, DELIVERY_ATTEMPTS + 1):
        kind = struck_by(order, attempt, kinds)
        if kind in MADE_AS_IT_SHOULD_BE:
            return True
        if kind in REFUSED:
            return False
    return False


def implied_outcome(order: int) -> tuple[str, str]:
    """How a request must end, as the platform's table says, when this is what strikes it."""
    if not delivery_ends_well(order):
        return ("WEBHOOK_FAILED" if inference_ends_well(order) else "FAILED", "FAILED")
    return ("SUCCEEDED" if inference_ends_well(order) else "FAILED", "SUCCEEDED")


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with S3Server() as server:
        server.create_bucket("outputs")
        yield server


def wait_for_a_replica(harness: Harness, http: httpx.Client) -> None:
    while not http.get("/healthz").json()["replicas_ready"]:
        harness.wait(0.1)


def run_to_the_end(harness: Harness, client: HarnessClient, ids: list[str]) -> dict[str, AsyncRequestStatus]:
    """Move time until every request is over. In steps, since a status is forgotten after an hour."""
    ended: dict[str, AsyncRequestStatus] = {}
    assert isinstance(harness.clock, ManualClock)
    with httpx.Client(base_url=harness.url) as http:
        while len(ended) < len(ids):
            wait_for_a_replica(harness, http)
            harness.clock.advance(minutes=55, patience_seconds=30)
            for request_id in ids:
                if request_id not in ended:
                    status = client.status(request_id)
                    if status.status.is_final and status.webhook_status is not WebhookStatus.PENDING:
                        ended[request_id] = status
    return ended


def test_a_run_in_which_everything_goes_wrong_now_and_then_loses_nothing(
    s3: S3Server, tmp_path: Path
) -> None:
    reports: list[str] = []
    settings = HarnessSettings(
        truss_dir=make_truss(tmp_path / "truss", MODEL, config=CONFIG),
        install=False,
        port=0,
        replicas=2,
        virtual_clock=True,
        webhook_secrets=(SECRET,),
        limits="none",
        faults=RULES,
    )
    environment = {**s3.environment(), "TRUSS_ASYNC_OUTPUT_URL": "s3://outputs/run"}
    with (
        Harness(settings, report=reports.append, log=reports.append, environment=environment) as harness,
        HarnessClient(harness.url, api_key="any") as client,
        WebhookReceiver(secrets=(SECRET,), clock=harness.clock) as receiver,
    ):
        ids = [
            client.submit(
                model_input=number,
                webhook_endpoint=receiver.url,
                max_time_in_queue_seconds=THREE_DAYS,
                inference_retry_config={"max_attempts": MAX_ATTEMPTS},
            ).request_id
            for number in range(1, REQUESTS + 1)
        ]
        ended = run_to_the_end(harness, client, ids)
        struck = {rule.kind: rule.struck for rule in harness.faults.all()}

    wrong = {
        order: (outcome(ended[request_id]), implied_outcome(order), ended[request_id].errors)
        for order, request_id in enumerate(ids, 1)
        if outcome(ended[request_id]) != implied_outcome(order)
    }
    assert wrong == {}
    assert all(struck.values()), struck
    assert sum("was crashed by a fault" in line for line in reports) == struck[FaultKind.MODEL_CRASH]
    assert len(Counter(map(outcome, ended.values()))) == 4, "a seed that leads to every end"

    store = OutputStore.from_url("s3://outputs/run", credentials=s3.credentials())
    received = {sent.request_id: sent.result for sent in receiver.deliveries if sent.accepted}
    for order, request_id in enumerate(ids, 1):
        expected = {"square": order * order} if inference_ends_well(order) else None
        if expected is not None:
            assert store.get(request_id).data == expected
        if delivery_ends_well(order):
            result = received[request_id]
            assert result is not None
            assert result.data == expected
            assert bool(result.errors) == (expected is None)
