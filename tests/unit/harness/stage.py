"""What the cores of the harness stand on in their tests: a scripted queue and endpoints, and a clock moved by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from prometheus_client.parser import text_string_to_metric_families

from tests.unit.harness.scripted import ScriptedEndpoints, ScriptedQueue, settle
from truss_async.clock import ManualClock
from truss_async.contract import InferenceRetryConfig
from truss_async.contract.faults import FaultRule
from truss_async.harness.activity import Activity
from truss_async.harness.decisions import DeliveryPolicy
from truss_async.harness.delivery import Delivery
from truss_async.harness.delivery_slots import MAX_IN_FLIGHT
from truss_async.harness.faults import Faults
from truss_async.harness.metrics import Metrics
from truss_async.harness.request_queue import AcceptedRequest, DueDelivery, RequestQueue, RequestQueueError
from truss_async.harness.request_queue.patience import PAUSE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime
    from typing import Protocol

    import aiohttp

    class Part(Protocol):
        async def run(self) -> None: ...


ENDPOINT = "https://one.example/hook"
OTHER = "https://other.example/hook"
FULL_DISK = "the disk is full"
DEADLINE_SECONDS = 5


class Stage:
    """A queue, endpoints and a delivery; a test starts the part that it is about."""

    def __init__(self, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self.clock = ManualClock()
        self.activity = Activity(self.clock)
        self.reports: list[str] = []
        self.secrets = ["secret"]
        self.queue = ScriptedQueue()
        self.endpoints = ScriptedEndpoints()
        self.faults = Faults(clock=self.clock, report=lambda _: None)
        self.metrics = Metrics([])
        self.delivery = Delivery(
            queue=self.request_queue,
            signing=lambda: self.secrets,
            policy=DeliveryPolicy(),
            tls=True,
            session=cast("aiohttp.ClientSession", self.endpoints),
            activity=self.activity,
            metrics=self.metrics,
            faults=self.faults,
            report=self.reports.append,
            max_in_flight=max_in_flight,
        )

    @property
    def request_queue(self) -> RequestQueue:
        return cast("RequestQueue", self.queue)

    @property
    def now(self) -> datetime:
        return self.clock.now()

    @asynccontextmanager
    async def running(self, part: Part) -> AsyncIterator[asyncio.Task[None]]:
        """Until the end, when it is cancelled, ends, and leaves neither work nor errors behind."""
        lost: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
        task = self.activity.start(part.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=DEADLINE_SECONDS)
        assert task.cancelled(), task
        await asyncio.wait_for(self.activity.settle(patience_seconds=0), DEADLINE_SECONDS)
        assert lost == []

    async def pass_time(self, seconds: float) -> None:
        await settle()
        self.clock.advance(seconds)
        await settle()

    async def refuse(self, name: str, *, times: int = 1, **meanwhile: Any) -> None:
        """Let the disk be full for a call of the queue, so often; those in ``meanwhile`` get their answers."""
        for _ in range(times):
            (await self.queue.takes(name, **meanwhile)).fail(RequestQueueError(FULL_DISK))
            await self.pass_time(PAUSE_SECONDS)

    def set_fault(self, kind: str, **values: Any) -> None:
        self.faults.add(FaultRule.model_validate({"kind": kind, **values}))

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric over all series that have these labels."""
        families = text_string_to_metric_families(self.metrics.exposition().decode())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        return sum(each.value for each in samples if labels.items() <= each.labels.items())


def accepted(endpoint: str | None, *, max_attempts: int = 3) -> AcceptedRequest:
    return AcceptedRequest("m1", None, endpoint, InferenceRetryConfig(max_attempts=max_attempts))


def due(request_id: str = "r1", endpoint: str = ENDPOINT, **values: Any) -> DueDelivery:
    """A result that is to be sent."""
    given = {"data": b'{"a":1}', "errors": [], "attempts_made": 0, "order": 1, **values}
    return DueDelivery(request_id, "d1", accepted(endpoint), **given)
