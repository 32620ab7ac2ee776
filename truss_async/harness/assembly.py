"""How the parts of the harness fit together: made and started in order, stopped in reverse."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

import uvicorn

from ..clock import SYSTEM_CLOCK, ManualClock, steady
from ..contract import limits
from ..contract.own_names import OwnNames
from ..contract.webhook_urls import is_loopback
from ..replicas.host import ReplicaHost
from ..shortages import raise_file_limit
from .activity import Activity
from .api import (
    Api,
    ApiParts,
    Browsers,
    CallLimiters,
    Deployments,
    GuardedHttp,
    ModelCalls,
    OtherNodes,
    PageFront,
    PromptServer,
    RefusingWebsockets,
)
from .company import introduce, workers_of_several
from .decisions import DeliveryPolicy
from .delivery import Delivery, webhook_tls
from .delivery_slots import MAX_IN_FLIGHT
from .deployment import Deployment, Shared
from .faults import StoreGates
from .housekeeping import Housekeeping
from .inspection import KeptInputs
from .kept_state import open_state
from .metrics import Metrics
from .output_urls import with_local_outputs
from .redelivery import Redelivery
from .running import BACKLOG, address
from .scratch_folders import scratch_folder
from .source_watch import SourceWatch
from .stories import JournalingQueue
from .stub_outputs import bases_of_stubs
from .tracing import tracing_of
from .webhook_secrets import WebhookSecrets
from .webhook_targets import webhook_session

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from ..clock import Clock
    from ..replicas.logs import ReplicaLogLine
    from .chains import GeneratedChains
    from .faults import Faults
    from .inspection import HarnessLog, LineKeeper
    from .kept_state import KeptState
    from .load_failures import LoadFailures
    from .settings import HarnessSettings
    from .stories import Journal

GRACEFUL_SHUTDOWN_SECONDS = 5
SETTLE_DEADLINE_SECONDS = 60


@dataclass(frozen=True)
class Running:
    """A harness at work. ``tasks`` must not end."""

    api: Api
    deployments: Sequence[Deployment]
    tasks: Sequence[asyncio.Task[Any]]
    activity: Activity


@dataclass(frozen=True)
class Given:
    """What whoever starts a harness gives it. With a journal, requests leave their stories there."""

    settings: HarnessSettings
    clock: Clock
    faults: Faults
    report: Callable[[str], None]
    on_line: Callable[[ReplicaLogLine], None]
    environment: Mapping[str, str]
    journal: Journal | None
    log: HarnessLog
    lines: LineKeeper
    failures: LoadFailures | None = None


async def start_parts(parts: AsyncExitStack, given: Given, *, listening: socket.socket) -> Running:
    """Start every part; the stack stops them in reverse.

    Raises:
        HarnessError: a part cannot start.
    """
    # What falls due, falls due though somebody sets the machine's time.
    given = replace(given, clock=steady(given.clock))
    settings, clock = given.settings, given.clock
    if settings.api_key is None and not is_loopback(settings.host):
        given.report(
            f"other machines can reach {settings.host} and call with any key; set one with --api-key"
        )
    inner_key = token_urlsafe()
    chains = await _generate_chains(parts, given, url=address(listening), key=inner_key)
    settings = settings if chains is None else chains.settings
    given = replace(given, settings=settings)
    state = await _open_state(parts, given)
    secrets = await asyncio.to_thread(
        WebhookSecrets, state.webhook_secrets, given=settings.webhook_secrets, clock=clock
    )
    shared = await _make_shared(parts, given, state=state, secrets=secrets)
    await state.settle(settings, report=given.report)
    housekeeping = Housekeeping(
        queue=shared.queue,
        activity=shared.activity,
        report=given.report,
        keep_results=settings.keep_results,
    )
    deployments = [
        Deployment(each, shared, prefix=f"{each.deployment_id}-" if settings.deployments else "")
        for each in settings.all_deployments
    ]
    await introduce(state, settings, deployments, listening=listening, report=given.report)
    api = _make_api(given, shared, state, secrets, deployments, housekeeping, inner_key=inner_key)
    for deployment in deployments:
        await deployment.start()
        parts.push_async_callback(deployment.stop)
    workers = [
        *workers_of_several(
            shared, state, deployments, others=[housekeeping, secrets]
        ),  # the first to start, the last to stop
        shared.delivery,
        *(worker for each in deployments for worker in each.workers),
        housekeeping,
    ]
    tasks = [
        _background(parts, shared.activity.start(each.run(), name=type(each).__name__)) for each in workers
    ]
    tasks += [
        _background(parts, asyncio.create_task(each.run())) for each in _source_watches(given, deployments)
    ]
    tasks.append(_serve(parts, api, settings, listening))
    if chains is not None:
        tasks.append(_background(parts, asyncio.create_task(chains.run(given.report), name="Chains")))
    if isinstance(clock, ManualClock):
        parts.callback(_attend(clock, shared.activity))
    return Running(api, deployments, tasks, shared.activity)


async def _generate_chains(
    parts: AsyncExitStack, given: Given, *, url: str, key: str
) -> GeneratedChains | None:
    if all(each.chain is None for each in given.settings.all_deployments):
        return None
    from ..replicas.chains.wiring import Platform  # nothing else needs what reads trusses
    from .chains import generate_chains

    platform, folder = Platform(url, key), parts.enter_context(scratch_folder())
    return await generate_chains(given.settings, into=folder, platform=platform, report=given.report)


async def _make_shared(
    parts: AsyncExitStack, given: Given, *, state: KeptState, secrets: WebhookSecrets
) -> Shared:
    settings, clock, faults, report = given.settings, given.clock, given.faults, given.report
    queue = (
        state.queue if given.journal is None else JournalingQueue(state.queue, given.journal, now=clock.now)
    )
    files = raise_file_limit()
    activity, metrics = Activity(clock), Metrics(settings.all_deployments)
    gates = StoreGates(
        faults,
        is_on=settings.store_gate,
        has_processes=any(each.runs_truss for each in settings.all_deployments),
        report=report,
    )
    parts.push_async_callback(gates.close)
    tracing = tracing_of({**os.environ, **given.environment}, report=report)
    if tracing is not None:
        parts.push_async_callback(tracing.close)
    delivery = Delivery(
        queue=queue,
        signing=secrets.signing,
        policy=DeliveryPolicy(limits.DELIVERY_SCHEDULES[settings.webhook_schedule]),
        tls=True if settings.webhook_ca is None else webhook_tls(settings.webhook_ca),
        session=await parts.enter_async_context(
            webhook_session(is_guarded=settings.guards_webhooks, files=files)
        ),
        activity=activity,
        metrics=metrics,
        faults=faults,
        report=report,
        max_in_flight=min(MAX_IN_FLIGHT, files * 3 // 4),
        tracing=tracing,
    )
    environment = with_local_outputs(given.environment, folder=state.outputs_folder)
    host = ReplicaHost(
        workdir=parts.enter_context(scratch_folder()),
        report=report,
        on_line=given.on_line,
        environment=environment,
        change_environment=gates.via_gates,
        sleep=activity.sleep_outside,
        base_of_stubs=bases_of_stubs(environment),
    )
    parts.push_async_callback(host.http.close)
    return Shared(
        queue=queue,
        delivery=delivery,
        activity=activity,
        metrics=metrics,
        faults=faults,
        gates=gates,
        host=host,
        report=report,
        tracing=tracing,
        failures=given.failures,
    )


async def _open_state(parts: AsyncExitStack, given: Given) -> KeptState:
    settings = given.settings
    state = await open_state(
        parts,
        settings,
        clock=given.clock,
        report=given.report,
        on_over=None if settings.quiet else given.log.request_over,
    )
    _background(parts, asyncio.create_task(state.queue.check(), name="Check of the queue"))
    return state


def _source_watches(given: Given, deployments: Sequence[Deployment]) -> list[SourceWatch]:
    return [
        SourceWatch(
            each.settings.truss_dir,
            clock=SYSTEM_CLOCK,
            report=given.report,
            reload=each.reload if each.settings.reload else None,
            retry=each.retry,
        )
        for each in deployments
        if each.settings.truss_dir is not None and each.settings.runs_truss and each.has_replicas
    ]


def _make_api(
    given: Given,
    shared: Shared,
    state: KeptState,
    secrets: WebhookSecrets,
    deployments: Sequence[Deployment],
    housekeeping: Housekeeping,
    *,
    inner_key: str,
) -> Api:
    return Api(
        ApiParts(
            deployments=Deployments(deployments),
            metrics=shared.metrics,
            queue=shared.queue,
            limiters=CallLimiters(
                given.settings.call_limits, queue=shared.queue, clock=given.clock, rates=state.call_rates
            ),
            model_calls=ModelCalls(
                activity=shared.activity, repeats=given.settings.sync_retries, report=given.report
            ),
            other_nodes=OtherNodes(
                state.nodes,
                http=shared.host.http,
                activity=shared.activity,
                repeats=given.settings.sync_retries,
            ),
            secrets=secrets,
            sent=shared.delivery.sent,
            faults=given.faults,
            clock=given.clock,
            on_expiry=housekeeping.note_expiry,
            api_key=given.settings.api_key,
            inner_key=inner_key,
            browsers=_browsers(given.settings),
            guards_webhooks=given.settings.guards_webhooks,
            report=given.report,
            lines=given.lines,
            redelivery=Redelivery(
                queue=shared.queue,
                delivery=shared.delivery,
                activity=shared.activity,
                is_guarded=given.settings.guards_webhooks,
            ),
            inputs=KeptInputs() if given.settings.page else KeptInputs(max_requests=0),
            on_call=None if given.settings.quiet else given.log.call,
        )
    )


def _serve(
    parts: AsyncExitStack, api: Api, settings: HarnessSettings, listening: socket.socket
) -> asyncio.Task[None]:
    front = PageFront(api, settings, Browsers(_own_names(settings))) if settings.page else None
    serving = _serve_http(parts, front or api, listening)
    # Before the server waits for who talks to a model, or looks at a page.
    parts.push_async_callback(api.close_websockets)
    if front is not None:
        parts.push_async_callback(front.close)
    return serving


def _browsers(settings: HarnessSettings) -> Browsers | None:
    own = _own_names(settings)
    return None if own is None else Browsers(own)


def _own_names(settings: HarnessSettings) -> OwnNames | None:
    """By which calls may come; None: by any, for there is a key, which no page of a stranger knows."""
    return None if settings.api_key is not None else OwnNames(settings.allow_hosts, bound=settings.host)


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


def _serve_http(parts: AsyncExitStack, api: ASGIApp, listening: socket.socket) -> asyncio.Task[None]:
    config = uvicorn.Config(
        api,
        interface="asgi3",
        http=GuardedHttp,
        ws=RefusingWebsockets,
        ws_max_size=limits.MAX_WEBSOCKET_MESSAGE_BYTES,
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
