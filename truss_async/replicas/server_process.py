"""One run of the Truss server: a process of its own on loopback, started, watched and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
from collections.abc import Coroutine, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from ..clock import wait_for_event, within
from ..printable import printable
from ..shortages import is_shortage
from .exception_texts import exception_text
from .health import INTERVAL_SECONDS, THRESHOLD_SECONDS
from .protocol import ReplicaLoadError
from .subprocesses import describe_exit, kill_group
from .warden import WARDEN

if TYPE_CHECKING:
    from ..clock import Clock
    from .output import ServerOutput

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_BACKLOG: Final = 2048
_FIRST_POLL_SECONDS: Final = 0.05
_LAST_POLL_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 2.0
_LOADED: Final = "/v1/models/model/loaded"
_READY: Final = "/v1/models/model"


@dataclass(frozen=True)
class ServerFolders:
    """The places that are fixed in the image, as paths; None where there is nothing."""

    app_dir: str
    secrets_dir: str
    dynamic_config_dir: str
    crash_file: str
    packages_dir: str | None
    plugin_dir: str | None
    is_chainlet: bool = False
    """Whether an installed truss, too, is to look there: what a chain imports reads its addresses and its key."""
    packages_source: str | None = None
    """What the packages are a copy of; their code names the files there as those that it comes from."""


class ServerProcess:
    """Made by ``launch``; when it is over, by itself or by ``stop``, nothing of its process group is left."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, output: ServerOutput) -> None:
        self._process = process
        self._output = output
        self.port = port
        self.exited = asyncio.Event()
        self._crashed: str | None = None
        self._watch = asyncio.create_task(self._watch_exit())

    @classmethod
    async def launch(
        cls,
        python: Path,
        folders: ServerFolders,
        *,
        run_dir: Path,
        environment: Mapping[str, str],
        output: ServerOutput,
    ) -> ServerProcess:
        """Start the server on a free port of loopback; raises OSError."""
        # A copy, away from this package's modules, which must not stand for modules of the server's.
        launcher = Path(shutil.copy(_LAUNCHER, run_dir))
        settings_file = run_dir / "launcher.json"
        with contextlib.ExitStack() as handed_down:
            listener = handed_down.enter_context(socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG))
            port: int = listener.getsockname()[1]
            settings = {**asdict(folders), "listener_fd": listener.fileno()}
            settings_file.write_text(json.dumps(settings), encoding="utf-8")
            process = await asyncio.create_subprocess_exec(
                str(python),
                str(launcher),
                str(settings_file),
                cwd=folders.app_dir,
                env={**environment, "INFERENCE_SERVER_PORT": str(port), "PYTHONUNBUFFERED": "1"},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=(listener.fileno(),),
            )
        WARDEN.watch(process.pid)
        return cls(process, port, output)

    async def wait_loaded(self, *, clock: Clock, threshold_seconds: float = THRESHOLD_SECONDS) -> None:
        """Return when the model is loaded and healthy; raise ReplicaLoadError as soon as it is known not to be."""
        ready = asyncio.create_task(within(threshold_seconds, self._poll_ready(clock), clock=clock))
        watchers = [asyncio.ensure_future(event.wait()) for event in (self.exited, self._output.load_failed)]
        try:
            await asyncio.wait([ready, *watchers], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in watchers:
                task.cancel()
            if not ready.done():
                ready.cancel()
            await asyncio.wait([ready, *watchers])
        if self._output.load_failed.is_set() or self.exited.is_set():
            raise ReplicaLoadError(self._why_not_loaded(), traceback=self._output.failure())
        try:
            await ready
        except TimeoutError:
            raise ReplicaLoadError(
                f"the model is not loaded, or not healthy, within {threshold_seconds:g} s"
                " (runtime.health_checks.startup_threshold_seconds in config.yaml)"
            ) from None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def check_health(self, timeout_seconds: float) -> str | None:
        """Ask as the platform does, without a thread of the server's; return what is wrong, if anything.

        The path calls nothing of the model's but its ``is_healthy``, if it has one. A method that keeps the server's
        threads busy, however many, leaves it answering; one that blocks its event loop does not.
        """
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.get(self._url(_READY)) as answer,
            ):
                return None if answer.status == 200 else f"it answered {answer.status}"
        except asyncio.TimeoutError:
            return "it does not answer"
        except aiohttp.ClientError as error:
            return None if is_shortage(error) else printable(str(error)) or type(error).__name__

    async def wait_exit(self, watch: Coroutine[Any, Any, str]) -> str:
        """Return why it is over: it ended by itself, or the watch ended, upon which it is killed."""
        watching = asyncio.create_task(watch)
        exiting = asyncio.create_task(self.exited.wait())
        try:
            await asyncio.wait([watching, exiting], return_when=asyncio.FIRST_COMPLETED)
            if self.exited.is_set():
                return self.exit_reason
            kill_group(self._process.pid)
            await self.exited.wait()
            return f"{watching.result()} and was killed"
        finally:
            watching.cancel()
            exiting.cancel()
            await asyncio.wait([watching, exiting])

    @property
    def exit_reason(self) -> str:
        status = self._process.returncode
        if status is None:
            return "is running"
        return self._crashed or describe_exit(status)

    async def stop(self, *, grace_seconds: float, clock: Clock) -> None:
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if not await wait_for_event(self.exited, clock=clock, seconds=grace_seconds):
                kill_group(self._process.pid)
        await self._watch

    async def crash(self, reason: str) -> None:
        """End it as it stands, and let the reason be why; return when it is over."""
        if not self.exited.is_set():
            self._crashed = reason
            kill_group(self._process.pid)
        await self.exited.wait()

    async def _watch_exit(self) -> None:
        streams = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        drains = [asyncio.create_task(self._output.drain(stream)) for stream in streams]
        try:
            await self._process.wait()
        finally:
            # What the model started goes with it; with it the streams end, unless it made itself a session.
            kill_group(self._process.pid)
            WARDEN.forget(self._process.pid)
            _, endless = await asyncio.wait(drains, timeout=_LAST_WORDS_SECONDS)
            for drain in endless:
                drain.cancel()
            self.exited.set()

    async def _poll_ready(self, clock: Clock) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            for path, longest_wait in ((_LOADED, _LAST_POLL_SECONDS), (_READY, INTERVAL_SECONDS)):
                wait = _FIRST_POLL_SECONDS
                while not await self._is_ok(session, path):
                    await clock.sleep(wait)
                    wait = min(wait * 1.2, longest_wait)

    async def _is_ok(self, session: aiohttp.ClientSession, path: str) -> bool:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(self._url(path)) as answer:
                return answer.status == 200
        return False

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def _why_not_loaded(self) -> str:
        traceback = self._output.failure()
        if traceback is None:
            last = self._output.last_line()
            said = f', and said "{last}"' if last else ""
            return f"the model server {self.exit_reason} while it loaded the model{said}"
        error = exception_text(traceback)
        # A module of its own that is missing is not told apart: this is the usual case.
        missing = error.startswith("ModuleNotFoundError")
        remedy = "add it to requirements in config.yaml" if missing else "fix the model"
        return f"the model does not load: {error}; {remedy}"
