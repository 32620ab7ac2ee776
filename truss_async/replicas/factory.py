"""The replicas that the settings ask for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..clock import SYSTEM_CLOCK
from ..errors import HarnessError
from .logs import render_log_line
from .url_replica import UrlReplica

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from ..clock import Clock
    from .http_calls import HttpCalls
    from .logs import ReplicaLogLine
    from .protocol import Replica
    from .settings import DeploymentSettings

__all__ = ["make_replicas"]


def make_replicas(
    settings: DeploymentSettings,
    *,
    prefix: str = "",
    workdir: Path,
    http: HttpCalls,
    clock: Clock,
    report: Callable[[str], None],
    log: Callable[[str], None],
    environment: Mapping[str, str] | None = None,
    lead: Callable[[Mapping[str, str]], Awaitable[Mapping[str, str]]] | None = None,
    builds: asyncio.Semaphore | None = None,
    hear: Callable[[ReplicaLogLine], None] | None = None,
) -> tuple[list[Replica], int]:
    """Return the replicas, not yet started, and the concurrency of each.

    ``workdir`` is theirs to fill and the caller's to remove. ``report`` gets what a person should know,
    ``log`` each line that a replica wrote, with the time that ``clock`` shows, and ``hear`` the line as it is; for everything else they
    live in the system's time, as processes do. ``environment`` is added to that of this
    process and to the config's ``environment_variables``, and wins; ``lead`` has the last word on the whole.
    The name of each replica begins with ``prefix``.
    ``builds`` bounds how many prepare their files at once, of this and of other deployments.
    Raises HarnessError when the truss cannot be served at all.
    """
    names = [f"{prefix}replica-{number}" for number in range(1, settings.replicas + 1)]
    if settings.model_url is not None:
        url = str(settings.model_url)
        urls: list[Replica] = [
            UrlReplica(name, url, http=http, clock=SYSTEM_CLOCK, report=report) for name in names
        ]
        return urls, settings.predict_concurrency

    def print_line(line: ReplicaLogLine) -> None:
        if line.level != "debug":
            log(render_log_line(line, now=clock.now()))
            if hear is not None:
                hear(line)

    if settings.model is not None:
        return _in_process(
            names, settings, workdir, print_line, environment or {}
        ), settings.predict_concurrency
    if settings.truss_dir is None:
        raise HarnessError("nothing to serve: give a truss folder, a model URL or a model")
    # What runs a truss takes a while to load, and nothing else needs it.
    from .truss_folder import read_truss_folder
    from .truss_replica import ProcessReplica, TrussRuns

    folder = read_truss_folder(settings.truss_dir)
    runs = TrussRuns(
        truss_dir=folder.path,
        settings=settings,
        http=http,
        clock=SYSTEM_CLOCK,
        report=report,
        remark=_once(report),
        log=print_line,
        environment=dict(environment or {}),
        lead=lead or _as_it_is,
        builds=builds or asyncio.Semaphore(1),
    )
    replicas: list[Replica] = [ProcessReplica(name, runs, workdir=workdir.resolve() / name) for name in names]
    return replicas, folder.predict_concurrency


def _in_process(
    names: list[str],
    settings: DeploymentSettings,
    workdir: Path,
    log: Callable[[ReplicaLogLine], None],
    variables: Mapping[str, str],
) -> list[Replica]:
    from .in_process import InProcessReplica, Surroundings

    return [
        InProcessReplica(
            name,
            settings.model,
            Surroundings(
                data_dir=workdir / name / "data",
                environment=settings.environment,
                predict_concurrency=settings.predict_concurrency,
                secrets_dir=settings.secrets_dir,
                variables=variables,
            ),
            log=log,
        )
        for name in names
    ]


async def _as_it_is(environment: Mapping[str, str]) -> Mapping[str, str]:
    return environment


def _once(report: Callable[[str], None]) -> Callable[[str], None]:
    said: set[str] = set()

    def remark(line: str) -> None:
        if line not in said:
            said.add(line)
            report(line)

    return remark
