"""How the parts of the harness fit together: made and started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import uvicorn

from ..clock import SYSTEM_CLOCK, ManualClock
from ..contract import limits
from .activity import Activity
from .api import Api, AsyncCalls, OwnCalls, SyncCalls
from .decisions import DeliveryPolicy
from .delivery import Delivery, webhook_tls
from .dispatcher import Dispatcher
from .housekeeping import Housekeeping
from .metrics import Metrics
from .replicas import HttpCalls, ReplicaPool, make_replicas
from .request_headers import RequestHeaders
from .request_queue import SqliteRequestQueue
from .state import StateFolder
from .webhook_secrets import WebhookSecrets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping
    from contextlib import AsyncExitStack
    from datetime import datetime

    from ..clock import Clock
    from .settings import HarnessSettings

BACKLOG = 2048
CONNECT_SECONDS = 10
GRACEFUL_SHUTDOWN_SECONDS = 5
SETTLE_DEADLINE_SECONDS = 60


async def start_parts(
    parts: AsyncExitStack,
    settings: HarnessSettings,
    *,
    listening: socket.socket,
    clock: Clock,
    report: Callable[[str], None],
    log: Callable[[str], None],
    environment: Mapping[str, str],
) -> list[asyncio.Task[Any]]:
    """Start every part; the stack stops them in reverse. Return the tasks that must not end.

    Raises:
        HarnessError: a part cannot start.
    """
    state = StateFolder(settings.state_dir)
    parts.callback(state.close)
    webhook_secrets = WebhookSecrets(state.webhook_secrets_file, given=settings.webhook_secrets, clock=clock)
    queue = SqliteRequestQueue(
        state.queue_file,
        model_id=settings.model_id,
        now=clock.now(),
        is_synced=settings.durability == "full",
    )
    parts.push_async_callback(queue.close)
    workdir = Path(
        parts.enter_context(tempfile.TemporaryDirectory(prefix="truss-async-", ignore_cleanup_errors=True))
    )
    http = HttpCalls()
    parts.push_async_callback(http.close)
    replicas, concurrency = make_replicas(
        settings,
        workdir=workdir,
        http=http,
        clock=clock,
        report=report,
        log=log,
        environment=environment,
    )
    activity = Activity(clock)
    work = asyncio.Event()
    # Processes start in the system's time, whatever the clock of the requests shows.
    pool = ReplicaPool(
        replicas, concurrency=concurrency, clock=SYSTEM_CLOCK, report=report, on_capacity=work.set
    )
    session = await parts.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
    )
    metrics = Metrics(settings)
    headers = RequestHeaders(is_chain=settings.chain_id is not None)
    delivery = Delivery(
        model_id=settings.model_id,
        queue=queue,
        signing=webhook_secrets.signing,
        policy=DeliveryPolicy(limits.DELIVERY_SCHEDULES[settings.webhook_schedule]),
        tls=webhook_tls(settings.webhook_ca),
        session=session,
        activity=activity,
        metrics=metrics,
        report=report,
    )
    dispatcher = Dispatcher(
        settings.deployment_id,
        queue=queue,
        pool=pool,
        activity=activity,
        headers=headers,
        metrics=metrics,
        report=report,
        work=work,
        on_finished=delivery.wake,
    )
    housekeeping = Housekeeping(queue=queue, activity=activity, report=report)

    def on_queued(expires_at: datetime) -> None:
        work.set()
        housekeeping.note_expiry(expires_at)

    async def exposition() -> bytes:
        counts = await queue.counts(settings.deployment_id)
        return metrics.exposition(
            queue_size=counts.queued,
            concurrent_requests=pool.taken_slots,
            replicas_active=pool.ready_count,
            replicas_starting=pool.starting_count,
        )

    async_calls = AsyncCalls(
        model_id=settings.model_id,
        chain_id=settings.chain_id,
        deployment_id=settings.deployment_id,
        queue=queue,
        limits=settings.call_limits,
        clock=clock,
        on_queued=on_queued,
    )
    api = Api(
        settings,
        clock=clock,
        metrics=metrics,
        exposition=exposition,
        async_calls=async_calls,
        sync_calls=SyncCalls(pool=pool, clock=clock, headers=headers),
        own_calls=OwnCalls(queue=queue, known=async_calls.known, secrets=webhook_secrets, clock=clock),
        health=lambda: {
            "status": "ok",
            "model": pool.state,
            "replicas_ready": pool.ready_count,
            "error": pool.last_error,
        },
    )
    await pool.start()
    parts.push_async_callback(pool.stop)
    tasks = [
        _background(parts, activity.start(delivery.run(), name="delivery")),
        _background(parts, activity.start(dispatcher.run(), name="dispatcher")),
        _background(parts, activity.start(housekeeping.run(), name="housekeeping")),
    ]
    tasks.append(_serve_http(parts, api, listening))
    if isinstance(clock, ManualClock):
        parts.callback(_attend(clock, activity))
    return tasks


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
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))

    async def stop() -> None:
        server.should_exit = True
        await serving

    parts.push_async_callback(stop)
    return serving


def _background(parts: AsyncExitStack, task: asyncio.Task[None]) -> asyncio.Task[None]:

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    parts.push_async_callback(stop)
    return task
