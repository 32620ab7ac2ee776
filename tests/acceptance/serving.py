"""Runs the installed command ``truss-async serve`` in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import psutil

COMMAND = str(Path(sys.executable).with_name("truss-async"))
ROOT = Path(__file__).parents[2]
START_SECONDS = 60


class DidNotStartError(AssertionError):
    """It ended, or said something else, instead of where it listens."""


class Served:
    """``Served("path/to/truss", "--port", "0")``: started, and known by its URL, when the block is entered."""

    def __init__(
        self, *arguments: str | Path, environment: Mapping[str, str] | None = None, cwd: Path
    ) -> None:
        self._arguments = [COMMAND, "serve", *map(str, arguments)]
        self._environment = {**os.environ, **(environment or {})}
        self._cwd = cwd
        self._stderr: list[str] = []
        self._changed = threading.Condition()

    def __enter__(self) -> "Served":
        self.process = subprocess.Popen(
            self._arguments,
            env=self._environment,
            cwd=self._cwd,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._reader.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            self.stop(signal.SIGKILL)
            raise DidNotStartError(f"serve did not start: {line!r}\n{self.stderr}")
        self.url = line.removeprefix("listening on ").strip()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop(signal.SIGTERM)
        if kind is not None:
            print(self.stderr)

    @property
    def stderr(self) -> str:
        with self._changed:
            return "".join(self._stderr)

    def wait_for_line(self, text: str, *, timeout_seconds: float = START_SECONDS) -> None:
        """Wait until it has said so on stderr."""
        with self._changed:
            if not self._changed.wait_for(lambda: text in "".join(self._stderr), timeout_seconds):
                raise AssertionError(
                    f"not said within {timeout_seconds} s: {text!r}\n{''.join(self._stderr)}"
                )

    def descendants(self) -> list[psutil.Process]:
        """Every process that it has started."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end; return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(30)
        self._reader.join(10)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._changed:
                self._stderr.append(line)
                self._changed.notify_all()


def make_truss(folder: Path, model: str, *, config: str = "") -> Path:
    """Write a truss whose model.py is the given text."""
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "__init__.py").touch()
    (folder / "model" / "model.py").write_text(model)
    (folder / "config.yaml").write_text(f"model_name: test\npython_version: py311\n{config}")
    return folder
