"""One served deployment: its replicas, and what runs its requests on them."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK
from ..contract.harness_calls import DeploymentHealth, Health
from ..replicas.factory import make_replicas
from ..replicas.pool import ReplicaPool
from ..replicas.reloading import ReloadingReplica
from ..replicas.request_headers import RequestHeaders
from ..replicas.scaling import ScaleLimits
from ..replicas.usage import HasProcess, UsageMeter
from .autoscaler import Autoscaler
from .dispatcher import Dispatcher
from .faults import FaultyCalls
from .inference import Inference
from .metrics import Moment
from .output_urls import output_url_of
from .request_queue import until_stored

if TYPE_CHECKING:
    from ..contract.harness_calls import ModelState
    from ..errors import HarnessError
    from ..replicas.host import ReplicaHost
    from ..replicas.settings import DeploymentSettings
    from ..replicas.usage import Usage
    from .activity import Activity
    from .delivery import Delivery
    from .faults import Faults, StoreGates
    from .load_failures import LoadFailures
    from .metrics import Metrics
    from .request_queue import NewRequest, RequestQueue
    from .tracing import Tracing


EDIT_IT: Final = "it is loaded again when you edit it, and retried from time to time"
UNTIL_IT_DOES: Final = "it is retried until it loads"
WORST_FIRST: tuple[ModelState, ...] = ("failed", "starting", "ready", "scaled_to_zero")


@dataclass(frozen=True)
class Shared:
    """What all deployments of a harness have in common."""

    queue: RequestQueue
    delivery: Delivery
    activity: Activity
    metrics: Metrics
    faults: Faults
    gates: StoreGates
    host: ReplicaHost
    report: Callable[[str], None]
    tracing: Tracing | None = None
    failures: LoadFailures | None = None
    """None: what does not load is tried again, whatever it is."""


class Deployment:
    """Serves from ``start`` to ``stop``, while each of its ``workers`` runs; the names of replicas begin with ``prefix``.

    Raises:
        HarnessError: what it is to serve cannot be served at all.
    """

    def __init__(self, settings: DeploymentSettings, shared: Shared, *, prefix: str = "") -> None:
        self.settings = settings
        self.headers = RequestHeaders(is_chain=settings.chain_id is not None)
        self.metrics = shared.metrics.of(self.id)
        self.faulty = FaultyCalls(self.id, faults=shared.faults, gates=shared.gates)
        self._shared = shared
        self._meters: defaultdict[str, UsageMeter] = defaultdict(UsageMeter)
        self._metering = threading.Lock()
        self.open_websockets = 0
        """So many are passed on now."""
        self._output_url = output_url_of(settings, shared.host.environment)
        self._scale = ScaleLimits(
            settings.least_replicas,
            settings.replicas,
            delay_seconds=settings.scale_down_delay_seconds,
            window_seconds=settings.autoscaling_window_seconds,
            concurrency_target=settings.concurrency_target,
            target_utilization=settings.target_utilization,
            max_scale_down_rate=settings.max_scale_down_rate,
        )
        work = asyncio.Event()
        replicas, concurrency = make_replicas(settings, shared.host, prefix=prefix)
        # Processes start in the system's time, whatever the clock of the requests shows.
        self.pool = ReplicaPool(
            replicas,
            concurrency=concurrency,
            clock=SYSTEM_CLOCK,
            report=shared.report,
            on_capacity=work.set,
            on_first_failure=self._on_first_failure,
            remedy=EDIT_IT if settings.truss_dir is not None else UNTIL_IT_DOES,
        )
        self.dispatcher = Dispatcher(
            self.id,
            queue=shared.queue,
            pool=self.pool,
            activity=shared.activity,
            inference=Inference(
                self.id,
                activity=shared.activity,
                headers=self.headers,
                faulty=self.faulty,
                tracing=shared.tracing,
            ),
            metrics=self.metrics,
            report=shared.report,
            work=work,
            delivery=shared.delivery,
        )

    @property
    def id(self) -> str:
        """By which calls and results name it."""
        return self.settings.deployment_id

    @property
    def has_replicas(self) -> bool:
        """Whether requests ever run here; if not, they wait for other harnesses that share the queue."""
        return self.settings.replicas > 0

    @property
    def output_url(self) -> str | None:
        """Where its model saves outputs, as far as its surroundings and its config tell: in model.py it may say otherwise."""
        return self._output_url

    @property
    def workers(self) -> list[Dispatcher | Autoscaler]:
        """What is to run from its start on, to the end."""
        if not self.has_replicas:
            return []
        if not self._scale.are_elastic:
            return [self.dispatcher]
        return [
            self.dispatcher,
            Autoscaler(
                self.pool, limits=self._scale, backlog=self.open_requests, activity=self._shared.activity
            ),
        ]

    async def start(self) -> None:
        """Begin to load the model."""
        await self.pool.start(self._scale.initial)

    async def stop(self) -> None:
        """Leave no replica behind."""
        await self.pool.stop()

    async def reload(self) -> None:
        """Let the edited truss take over, a replica at a time."""
        for replica in self.pool.replicas:
            if isinstance(replica, ReloadingReplica):
                await replica.reload()

    def retry(self) -> bool:
        """Load it again at once, if it does not load and was edited; False when it need not be."""
        return self.pool.retry()

    async def enter(self, new: NewRequest) -> bool:
        """Keep a new request of it; False: it is not queued, for it has begun.

        Raises:
            RequestQueueError: it is not kept.
        """
        is_queued = await self.dispatcher.enter(new)
        self.pool.wake()
        return is_queued

    def note_queued(self) -> None:
        """A request of it was queued, by others."""
        self.dispatcher.note_queued()
        self.pool.wake()

    async def note_moment(self) -> None:
        """Let its metrics show how things stand now."""
        counts = await self._shared.queue.counts(self.id)
        usage = await asyncio.to_thread(self._usage)
        self.metrics.at(
            Moment(
                queue_size=counts.queued,
                concurrent_requests=self.pool.calls,
                open_websockets=self.open_websockets,
                replicas_active=self.pool.ready_count,
                replicas_starting=self.pool.starting_count,
                replicas_unready=self.pool.starting_count + self.pool.stopping_count,
                restarts=self.pool.restarts,
                usage=usage,
            )
        )

    def _usage(self) -> dict[str, Usage]:
        with self._metering:
            return {
                replica.name: self._meters[replica.name].read(replica.pid)
                for replica in self.pool.replicas
                if isinstance(replica, HasProcess)
            }

    def health(self) -> DeploymentHealth:
        """How its model is."""
        pool = self.pool
        return DeploymentHealth(model=pool.state, replicas_ready=pool.ready_count, error=pool.last_error)

    def _on_first_failure(self, error: HarnessError) -> bool:
        failures = self._shared.failures
        return failures is not None and failures.note(self.id, error)

    async def open_requests(self) -> int:
        """How many are queued or in progress, as the autoscaler sees them."""
        numbers = await until_stored(
            self._shared.queue.open_by_deployment,
            pause=self._shared.activity.sleep,
            report=self._shared.report,
        )
        return numbers.get(self.id, 0)


def health_of(deployments: Iterable[Deployment], queue: RequestQueue) -> Health:
    """How all of them are, and their queue."""
    by_id = {each.id: each.health() for each in deployments}
    states = {each.model for each in by_id.values()}
    return Health(
        model=next(state for state in WORST_FIRST if state in states),
        replicas_ready=sum(each.replicas_ready for each in by_id.values()),
        error=next((each.error for each in by_id.values() if each.error), None),
        queue=queue.health(),
        deployments=by_id,
    )
