"""The installed command, in a folder of its own."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.unit.client.scripted_platform import ScriptedPlatform
from truss_async.cli.running import run

COMMAND = Path(sys.executable).with_name("truss-async")
DEADLINE_SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error_line(self) -> str:
        """The one line on stderr, after the command's name."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("truss-async: ")
        return line.removeprefix("truss-async: ")


@dataclass
class CommandLine:
    """Runs ``truss-async`` in a folder of its own, where nothing of the caller's environment is set."""

    folder: Path
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __post_init__(self) -> None:
        for name in [name for name in os.environ if name.startswith(("TRUSS_ASYNC_", "BASETEN_"))]:
            self.patch.delenv(name)
        self.patch.chdir(self.folder)
        self.set(COLUMNS="100", TERM="dumb")

    def set(self, **variables: str) -> None:
        """Set environment variables."""
        for name, value in variables.items():
            self.patch.setenv(name, value)

    def run(self, *arguments: str, stdin: bytes = b"") -> Outcome:
        """Run it to its end in this process, which is all of it but the interpreter's start."""
        with io.TextIOWrapper(io.BytesIO(stdin)) as given:
            self.patch.setattr(sys, "stdin", given)
            code = run(arguments)
        return Outcome(code, *self.capture.readouterr())

    def run_installed(self, *arguments: str) -> Outcome:
        """Run the installed command to its end."""
        with self.started(*arguments) as process:
            stdout, stderr = process.communicate(timeout=DEADLINE_SECONDS)
        return Outcome(process.returncode, stdout, stderr)

    @contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Start it, and see to it that it ends."""
        with subprocess.Popen(
            [COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.fixture
def command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capfd)


@pytest.fixture
def platform() -> Iterator[ScriptedPlatform]:
    with ScriptedPlatform() as platform:
        yield platform
