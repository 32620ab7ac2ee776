"""One run of the Truss server: a process of its own on loopback, started, watched and ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from ...clock import wait_for_event
from .output import exception_line
from .protocol import ReplicaLoadError
from .subprocesses import describe_exit, kill_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...clock import Clock
    from .output import ServerOutput

__all__ = ["ServerFolders", "ServerProcess"]

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_BACKLOG: Final = 2048
_FIRST_POLL_SECONDS: Final = 0.05
_LAST_POLL_SECONDS: Final = 0.5
_LAST_WORDS_SECONDS: Final = 2.0


@dataclass(frozen=True)
class ServerFolders:
    """The places that are fixed in the image; each is a path, and None where there is nothing."""

    app_dir: str
    secrets_dir: str
    dynamic_config_dir: str
    crash_file: str
    packages_dir: str | None
    plugin_dir: str | None


class ServerProcess:
    """Made by ``launch``; when it is over, by itself or by ``stop``, nothing of its process group is left."""

    def __init__(
        self, process: asyncio.subprocess.Process, port: int, parent_fd: int, output: ServerOutput
    ) -> None:
        self._process = process
        self._parent_fd = parent_fd
        self._output = output
        self.port = port
        self.exited = asyncio.Event()
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
            # Nobody writes to this pipe: its end is how the replica learns that the harness is dead.
            child_end, parent_end = os.pipe()
            handed_down.callback(os.close, child_end)
            on_failure = handed_down.enter_context(contextlib.ExitStack())
            on_failure.callback(os.close, parent_end)
            settings = {**asdict(folders), "listener_fd": listener.fileno(), "parent_fd": child_end}
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
                pass_fds=(listener.fileno(), child_end),
            )
            on_failure.pop_all()
        return cls(process, port, parent_end, output)

    async def wait_loaded(self, *, clock: Clock) -> None:
        """Return when the model is loaded; raise ReplicaLoadError as soon as it is known not to."""
        ready = asyncio.create_task(self._poll_loaded(clock))
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
        await ready

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_exit(self) -> str:
        await self.exited.wait()
        return self.exit_reason

    @property
    def exit_reason(self) -> str:
        status = self._process.returncode
        return "is running" if status is None else describe_exit(status)

    async def stop(self, *, grace_seconds: float, clock: Clock) -> None:
        if not self.exited.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)
            if not await wait_for_event(self.exited, clock=clock, seconds=grace_seconds):
                kill_group(self._process.pid)
        await self._watch

    async def _watch_exit(self) -> None:
        streams = [stream for stream in (self._process.stdout, self._process.stderr) if stream is not None]
        drains = [asyncio.create_task(self._output.drain(stream)) for stream in streams]
        try:
            await self._process.wait()
        finally:
            # What the model started goes with it; with it the streams end, unless it made itself a session.
            kill_group(self._process.pid)
            os.close(self._parent_fd)
            _, endless = await asyncio.wait(drains, timeout=_LAST_WORDS_SECONDS)
            for drain in endless:
                drain.cancel()
            self.exited.set()

    async def _poll_loaded(self, clock: Clock) -> None:
        url = f"http://127.0.0.1:{self.port}/v1/models/model/loaded"
        wait = _FIRST_POLL_SECONDS
        async with aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                        if answer.status == 200:
                            return
                await clock.sleep(wait)
                wait = min(wait * 1.2, _LAST_POLL_SECONDS)

    def _why_not_loaded(self) -> str:
        traceback = self._output.failure()
        if traceback is None:
            last = self._output.last_line()
            said = f', and said "{last}"' if last else ""
            return f"the model server {self.exit_reason} while it loaded the model{said}"
        error = exception_line(traceback)
        # A module of its own that is missing is not told apart: this is the usual case.
        missing = error.startswith("ModuleNotFoundError")
        remedy = (
            "add it to requirements in config.yaml"
            if missing
            else "mend the model, it is loaded again by itself"
        )
        return f"the model does not load: {error}; {remedy}"
