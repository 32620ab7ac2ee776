"""How the parts of the harness fit together: made and started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import uvicorn

from ..clock import SYSTEM_CLOCK, ManualClock
from ..contract import limits
from ..replicas.factory import make_replicas
from ..replicas.host import ReplicaHost
from ..replicas.http_calls import HttpCalls
from ..replicas.pool import ReplicaPool
from ..replicas.request_headers import RequestHeaders
from ..replicas.scaling import ScaleLimits
from .activity import Activity
from .api import Api, AsyncCalls, Deployment, Deployments, OwnCalls, PromptServer, SyncCalls
from .autoscaler import Autoscaler
from .decisions import DeliveryPolicy
from .delivery import Delivery, webhook_tls
from .dispatcher import Dispatcher
from .faults import FaultyCalls, StoreGates
from .housekeeping import Housekeeping
from .metrics import Metrics
from .request_queue import SqliteRequestQueue, until_stored
from .state import StateFolder
from .stories import JournalingQueue
from .webhook_secrets import WebhookSecrets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AsyncExitStack

    from ..clock import Clock
    from ..replicas.logs import ReplicaLogLine
    from ..replicas.settings import DeploymentSettings
    from .faults import Faults
    from .request_queue import RequestQueue
    from .settings import HarnessSettings
    from .stories import Journal

BACKLOG = 2048
CONNECT_SECONDS = 10
GRACEFUL_SHUTDOWN_SECONDS = 5
SETTLE_DEADLINE_SECONDS = 60


@dataclass(frozen=True)
class Running:
    """A harness at work. ``tasks`` must not end."""

    api: Api
    deployments: Sequence[Deployment]
    dispatchers: Sequence[Dispatcher]
    tasks: Sequence[asyncio.Task[Any]]


@dataclass(frozen=True)
class _Shared:
    """What all deployments of a harness have in common."""

    queue: RequestQueue
    delivery: Delivery
    activity: Activity
    metrics: Metrics
    faults: Faults
    gates: StoreGates
    host: ReplicaHost
    clock: Clock
    report: Callable[[str], None]


async def start_parts(
    parts: AsyncExitStack,
    settings: HarnessSettings,
    *,
    listening: socket.socket,
    clock: Clock,
    faults: Faults,
    report: Callable[[str], None],
    on_line: Callable[[ReplicaLogLine], None],
    environment: Mapping[str, str],
    journal: Journal | None,
) -> Running:
    """Start every part; the stack stops them in reverse. With a journal, requests leave their stories there.

    Raises:
        HarnessError: a part cannot start.
    """
    state = StateFolder(settings.state_dir)
    parts.callback(state.close)
    webhook_secrets = WebhookSecrets(state.webhook_secrets_file, given=settings.webhook_secrets, clock=clock)
    queue: RequestQueue = SqliteRequestQueue(
        state.queue_file,
        now=clock.now(),
        is_synced=settings.durability == "full",
        is_kept=settings.state_dir is not None,
    )
    parts.push_async_callback(queue.close)
    if journal is not None:
        queue = JournalingQueue(queue, journal, now=clock.now)
    workdir = Path(
        parts.enter_context(tempfile.TemporaryDirectory(prefix="truss-async-", ignore_cleanup_errors=True))
    )
    activity = Activity(clock)
    http = HttpCalls()
    parts.push_async_callback(http.close)
    session = await parts.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
    )
    metrics = Metrics(settings.all_deployments)
    gates = StoreGates(
        faults,
        is_on=settings.store_gate,
        has_processes=any(each.truss_dir is not None for each in settings.all_deployments),
        report=report,
    )
    parts.push_async_callback(gates.close)
    delivery = Delivery(
        queue=queue,
        signing=webhook_secrets.signing,
        policy=DeliveryPolicy(limits.DELIVERY_SCHEDULES[settings.webhook_schedule]),
        tls=True if settings.webhook_ca is None else webhook_tls(settings.webhook_ca),
        session=session,
        activity=activity,
        metrics=metrics,
        faults=faults,
        report=report,
    )
    housekeeping = Housekeeping(queue=queue, activity=activity, report=report)
    shared = _Shared(
        queue=queue,
        delivery=delivery,
        activity=activity,
        metrics=metrics,
        faults=faults,
        gates=gates,
        host=ReplicaHost(
            workdir=workdir,
            http=http,
            report=report,
            on_line=on_line,
            environment=environment,
            change_environment=gates.via_gates,
        ),
        clock=clock,
        report=report,
    )
    deployments: list[Deployment] = []
    dispatchers: list[Dispatcher] = []
    for each in settings.all_deployments:
        prefix = f"{each.deployment_id}-" if settings.deployments else ""
        deployment, dispatcher = _make_deployment(each, shared, prefix=prefix)
        deployments.append(deployment)
        dispatchers.append(dispatcher)
    await _tell_of_unserved(queue, {each.id for each in deployments}, report=report)

    async def exposition() -> bytes:
        for deployment in deployments:
            counts = await queue.counts(deployment.id)
            deployment.metrics.at_this_moment(
                queue_size=counts.queued,
                concurrent_requests=deployment.pool.taken_slots,
                replicas_active=deployment.pool.ready_count,
                replicas_starting=deployment.pool.starting_count,
            )
        return metrics.exposition()

    async_calls = AsyncCalls(
        queue=queue,
        limits=settings.call_limits,
        clock=clock,
        on_expiry=housekeeping.note_expiry,
        faults=faults,
    )
    api = Api(
        Deployments(deployments),
        api_key=settings.api_key,
        clock=clock,
        exposition=exposition,
        async_calls=async_calls,
        own_calls=OwnCalls(
            queue=queue, known=async_calls.known, secrets=webhook_secrets, faults=faults, clock=clock
        ),
        health=lambda: _health(deployments),
    )
    workers: list[Dispatcher | Autoscaler] = [*dispatchers]
    for deployment in deployments:
        scale = _scale_limits(deployment.settings)
        await deployment.pool.start(scale.initial)
        parts.push_async_callback(deployment.pool.stop)
        if scale.are_elastic:
            workers.append(_make_autoscaler(deployment, shared, limits=scale))
    tasks = [
        _background(parts, activity.start(delivery.run(), name="delivery")),
        *(_background(parts, activity.start(each.run(), name=type(each).__name__)) for each in workers),
        _background(parts, activity.start(housekeeping.run(), name="housekeeping")),
    ]
    tasks.append(_serve_http(parts, api, listening))
    if isinstance(clock, ManualClock):
        parts.callback(_attend(clock, activity))
    return Running(api, deployments, dispatchers, tasks)


def _make_deployment(
    settings: DeploymentSettings, shared: _Shared, *, prefix: str
) -> tuple[Deployment, Dispatcher]:
    replicas, concurrency = make_replicas(settings, shared.host, prefix=prefix)
    work = asyncio.Event()
    # Processes start in the system's time, whatever the clock of the requests shows.
    pool = ReplicaPool(
        replicas, concurrency=concurrency, clock=SYSTEM_CLOCK, report=shared.report, on_capacity=work.set
    )

    faulty = FaultyCalls(settings.deployment_id, faults=shared.faults, gates=shared.gates)
    headers = RequestHeaders(is_chain=settings.chain_id is not None)
    metrics = shared.metrics.of(settings.deployment_id)
    dispatcher = Dispatcher(
        settings.deployment_id,
        queue=shared.queue,
        pool=pool,
        activity=shared.activity,
        headers=headers,
        metrics=metrics,
        report=shared.report,
        work=work,
        delivery=shared.delivery,
        faulty=faulty,
    )

    def on_queued() -> None:
        dispatcher.note_queued()
        pool.wake()

    deployment = Deployment(
        settings,
        pool=pool,
        sync_calls=SyncCalls(pool=pool, clock=shared.clock, headers=headers, faulty=faulty),
        replicas=replicas,
        metrics=metrics,
        on_queued=on_queued,
    )
    return deployment, dispatcher


def _scale_limits(settings: DeploymentSettings) -> ScaleLimits:
    return ScaleLimits(
        settings.least_replicas, settings.replicas, delay_seconds=settings.scale_down_delay_seconds
    )


def _make_autoscaler(deployment: Deployment, shared: _Shared, *, limits: ScaleLimits) -> Autoscaler:
    async def backlog() -> int:
        counts = await until_stored(
            lambda: shared.queue.counts(deployment.id), pause=shared.activity.sleep, report=shared.report
        )
        return counts.queued + counts.in_progress

    return Autoscaler(deployment.pool, limits=limits, backlog=backlog, activity=shared.activity)


async def _tell_of_unserved(queue: RequestQueue, served: set[str], *, report: Callable[[str], None]) -> None:
    for deployment_id, count in (await queue.open_by_deployment()).items():
        if deployment_id not in served:
            report(
                f"{count} open requests are for the deployment {deployment_id}, which is not served; they wait, or expire"
            )


def _health(deployments: Sequence[Deployment]) -> dict[str, object]:
    pools = {each.id: each.pool for each in deployments}
    states = {pool.state for pool in pools.values()}
    return {
        "status": "ok",
        "model": next(
            state for state in ("failed", "starting", "ready", "scaled_to_zero") if state in states
        ),
        "replicas_ready": sum(pool.ready_count for pool in pools.values()),
        "error": next((pool.last_error for pool in pools.values() if pool.last_error), None),
        "deployments": {
            name: {"model": pool.state, "replicas_ready": pool.ready_count, "error": pool.last_error}
            for name, pool in pools.items()
        },
    }


def _attend(clock: ManualClock, activity: Activity) -> Callable[[], None]:
    """Have whoever moves the clock wait for what the harness then does; return what ends that."""
    loop = asyncio.get_running_loop()
    leave = clock.attend(
        lambda patience_seconds: activity.settle_from_thread(
            loop, patience_seconds=patience_seconds, deadline_seconds=SETTLE_DEADLINE_SECONDS
        )
    )

    def end() -> None:
        leave()
        activity.end()

    return end


def _serve_http(parts: AsyncExitStack, api: Api, listening: socket.socket) -> asyncio.Task[None]:
    config = uvicorn.Config(
        api,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    server = PromptServer(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))

    async def stop() -> None:
        server.stop()
        await serving

    parts.push_async_callback(stop)
    return serving


def _background(parts: AsyncExitStack, task: asyncio.Task[None]) -> asyncio.Task[None]:

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    parts.push_async_callback(stop)
    return task
