"""One node of several: ``truss-async serve`` in a process of its own, with a stub, on a database."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from ..errors import HarnessError

if TYPE_CHECKING:
    from typing_extensions import Self

_TETHER: Final = Path(__file__).with_name("tether.py")
_SERVE: Final = (sys.executable, "-c", "from truss_async.cli import main; main()", "serve")
_LISTENING: Final = "listening on "
_STOP_SECONDS: Final = 10.0
# What a person has set for commands of their own.
_NOT_INHERITED: Final = ("TRUSS_ASYNC_", "PG")


class Node:
    """A ``serve`` that ends with this process, however that ends."""

    def __init__(
        self, name: str, *options: str, folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        """``options`` are those of ``serve``; it writes what it has to say into ``folder``."""
        self.name = name
        own_name = name.replace(" ", "-")
        self._log = folder / f"{own_name}.log"
        # Its logs and outputs; the queue is in the database.
        self._options = (
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--state-dir",
            str(folder / own_name),
            *options,
        )
        self._folder = folder
        inherited = {key: text for key, text in os.environ.items() if not key.startswith(_NOT_INHERITED)}
        self._environment = {**inherited, **(environment or {})}
        self._url: str | None = None

    def __enter__(self) -> Self:
        """Begin to start it."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_TETHER), str(_STOP_SECONDS), "", *_SERVE, *self._options],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()

    @property
    def url(self) -> str:
        """Where it answers, once it does. HarnessError with its last words when it ends instead."""
        if self._url is None:
            line = "" if self._process.stdout is None else self._process.stdout.readline()
            if not line.startswith(_LISTENING):
                words = self._log.read_text(errors="replace").splitlines()[-3:]
                raise HarnessError(f"{self.name} did not start: {' | '.join(words)}")
            self._url = line.removeprefix(_LISTENING).strip()
        return self._url

    def kill(self) -> None:
        """End it without a word, as ``kill -9`` does, and return when it has ended."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for served in psutil.Process(self._process.pid).children():
                served.kill()
        self._process.wait()  # the tether waits for the node, whose port is closed then
