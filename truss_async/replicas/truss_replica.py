"""A replica that runs the Truss server, unmodified, on this machine."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..clock import wait_for_event
from ..errors import HarnessError
from ..shipping import copy_container_part
from .context import build_context
from .declared_secrets import remark_on_secrets, without_value
from .differences import differences
from .environment import EnvironmentChoice
from .health import HealthPolicy, health_policy, watch_health
from .inherited import inherited_environment
from .interpreter import process_environment
from .output import ServerOutput
from .protocol import ReplicaLoadError, ReplicaUnreachableError
from .server_process import ServerFolders, ServerProcess
from .server_socket import WEBSOCKET_PATH
from .truss_folder import methods_of_model

if TYPE_CHECKING:
    from .chains.wiring import Wiring
    from .context import BuildContext
    from .environment import Environment
    from .host import ReplicaHost
    from .http_calls import HttpAnswer
    from .protocol import ReplicaCall
    from .server_socket import ServerSocket
    from .settings import DeploymentSettings
    from .sockets import SocketCall

GRACE_SECONDS: Final = 3.0
NOTICE_SECONDS: Final = 2.0
"""In this time a server that has ended is noticed."""


@dataclass(frozen=True)
class TrussRuns:
    """What the replicas of one truss have in common."""

    truss_dir: Path
    settings: DeploymentSettings
    host: ReplicaHost
    wiring: Wiring | None = None
    """Of a chainlet."""
    _reported: set[str] = field(default_factory=set)

    def report_once(self, line: str) -> None:
        """Say what is so of each replica, and each time it starts."""
        if line not in self._reported:
            self._reported.add(line)
            self.host.report(line)


class ProcessReplica:
    """Built anew from the truss folder at each start, so an edited model is the one that is loaded."""

    def __init__(
        self, name: str, runs: TrussRuns, *, workdir: Path, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        self.name = name
        self._runs = runs
        self._host = runs.host
        self._workdir = workdir
        self._grace_seconds = grace_seconds
        self._server: ServerProcess | None = None
        self._health = HealthPolicy()
        self._is_gone = asyncio.Event()

    @property
    def predict_url(self) -> str:
        """The URL to POST a model input to; valid once started."""
        return f"{self.base_url}/v1/models/model:predict"

    @property
    def base_url(self) -> str:
        """Where the server is, without a slash at the end; valid once started."""
        if self._server is None:
            raise HarnessError(f"{self.name} is not started")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def pid(self) -> int | None:
        """The server's process, which leads a process group and a session of its own."""
        return None if self._server is None else self._server.pid

    async def call(self, call: ReplicaCall) -> HttpAnswer:
        try:
            return await self._host.http.send(call, predict_url=self.predict_url, base_url=self.base_url)
        except ReplicaUnreachableError:
            await self._until_noticed()
            raise

    async def connect(self, call: SocketCall) -> ServerSocket:
        url = f"{self.base_url}{WEBSOCKET_PATH}"
        try:
            return await self._host.http.connect(call, websocket_url=url, base_url=self.base_url)
        except ReplicaUnreachableError:
            await self._until_noticed()
            raise

    async def start(self) -> None:
        await self.stop()
        self._is_gone.clear()
        async with self._host.builds:
            context = await build_context(self._runs.truss_dir, into=self._workdir / "image")
            environment = await self._choose_environment(context)
        threshold = self._runs.settings.restart_threshold_seconds
        self._health = health_policy(context.config, restart_threshold_seconds=threshold)
        output = ServerOutput(self.name, log=self._host.log, clock=self._host.clock, rename=self._rename)
        try:
            folders = await asyncio.to_thread(self._prepare_folders, context, environment)
            self._server = await ServerProcess.launch(
                environment.python,
                folders,
                run_dir=self._workdir,
                environment=await self._host.change_environment(
                    {
                        **process_environment(environment.python, isolated=environment.isolated),
                        **context.environment_variables,
                        **(self._runs.wiring.environment if self._runs.wiring else {}),
                        **self._host.environment,
                    },
                    self._runs.settings.deployment_id,
                ),
                output=output,
            )
        except OSError as error:
            raise HarnessError(f"cannot start {environment.python} for {self.name}: {error}") from error
        try:
            await self._server.wait_loaded(
                clock=self._host.clock, threshold_seconds=self._health.startup_threshold_seconds
            )
        except ReplicaLoadError:
            await self.stop()
            raise

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace_seconds=self._grace_seconds, clock=self._host.clock)

    async def wait_exit(self, *, on_traffic: Callable[[bool], None]) -> str:
        if self._server is None:
            return "was never started"
        clock = self._host.clock
        watch = watch_health(self.check_health, self._health, clock=clock, on_traffic=on_traffic)
        try:
            return await self._server.wait_exit(watch)
        finally:
            self._is_gone.set()

    async def check_health(self, timeout_seconds: float) -> str | None:
        """What is wrong with it, once started; None: nothing."""
        if self._server is None:
            return "it was never started"
        return await self._server.check_health(timeout_seconds)

    async def crash(self, reason: str) -> None:
        """Kill the server as it stands, which ``reason`` tells afterwards; return when it is gone, and the pool knows."""
        if self._server is not None:
            await self._server.crash(reason)
            await wait_for_event(self._is_gone, clock=self._host.clock, seconds=NOTICE_SECONDS)

    async def _until_noticed(self) -> None:
        """If it is gone, the pool is to know before the next attempt comes, which must not meet it again."""
        await wait_for_event(self._is_gone, clock=self._host.clock, seconds=NOTICE_SECONDS)

    async def _choose_environment(self, context: BuildContext) -> Environment:
        self._report_differences(context)
        choice = EnvironmentChoice(
            context,
            self._runs.settings,
            truss_dir=self._runs.truss_dir,
            cwd=self._workdir,
            host=self._host,
            remark=self._runs.report_once,
        )
        return await choice.make()

    def _report_differences(self, context: BuildContext) -> None:
        methods = methods_of_model(context.app_dir, context.config)
        for line in differences(context.config, methods=methods, mistyped_keys=context.mistyped_keys):
            self._runs.report_once(line)
        secrets_dir = self._runs.settings.secrets_dir
        environment = {**inherited_environment(), **context.environment_variables, **self._host.environment}
        names = without_value(context.config, secrets_dir=secrets_dir, environment=environment)
        if names:
            self._runs.report_once(remark_on_secrets(names, secrets_dir=secrets_dir))

    def _prepare_folders(self, context: BuildContext, environment: Environment) -> ServerFolders:
        dynamic_config_dir = self._workdir / "dynamic_config"
        dynamic_config_dir.mkdir(exist_ok=True)
        environment_name = self._runs.settings.environment
        named = json.dumps({"name": environment_name}) if environment_name else ""
        wiring = self._runs.wiring
        wired = wiring.dynamic_config if wiring else {}
        for name, content in {"environment": named, **wired}.items():
            (dynamic_config_dir / name).write_text(content, encoding="utf-8")
        plugin_dir = None
        if context.has_own_plugin:
            plugin_dir = context.packages_dir
        elif environment.adds_plugin:
            plugin_dir = self._workdir / "plugin"
            copy_container_part(plugin_dir)
        secrets_dir = self._runs.settings.secrets_dir or self._workdir / "no_secrets"
        return ServerFolders(
            app_dir=str(context.app_dir),
            secrets_dir=str(secrets_dir.absolute()),
            dynamic_config_dir=str(dynamic_config_dir),
            crash_file=str(self._workdir / "crashed"),
            packages_dir=None if context.packages_dir is None else str(context.packages_dir),
            plugin_dir=None if plugin_dir is None else str(plugin_dir),
            is_chainlet=wiring is not None,
            packages_source=str(wiring.source) if wiring and wiring.source else None,
        )

    def _rename(self, text: str) -> str:
        """Let tracebacks name the files that the user can edit."""
        image, truss_dir, wiring = self._workdir / "image", self._runs.truss_dir, self._runs.wiring
        packages = (wiring and wiring.source) or truss_dir / "packages"
        for copy, original in (
            (image / "app" / "model", truss_dir / "model"),
            (image / "packages", packages),
        ):
            text = text.replace(f"{copy}/", f"{original}/")
        return text
