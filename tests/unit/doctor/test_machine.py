"""Python, packages, port, disk and clock, each as it is and as it should not be."""

import shutil
import socket
import sys
from collections.abc import Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.doctor import machine


class TimeServer(HTTPServer):
    """Tells a time that is so many seconds behind; None: tells none."""

    behind_seconds: float | None = 0.0


class _Answer(BaseHTTPRequestHandler):
    server: TimeServer

    def do_HEAD(self) -> None:
        self.send_response_only(404)
        if self.server.behind_seconds is not None:
            now = SYSTEM_CLOCK.now().timestamp()
            self.send_header("Date", formatdate(now - self.server.behind_seconds, usegmt=True))
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def time_server() -> Iterator[TimeServer]:
    with TimeServer(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def url_of(server: HTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_port}"


def test_the_running_python_is_named() -> None:
    finding = machine.python()
    assert finding.outcome == "ok"
    assert sys.executable in finding.found


def test_a_python_that_nobody_tests_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEWEST_TESTED_PYTHON", (3, 9))
    assert machine.python().outcome == "note"


def test_truss_and_the_extras_are_those_that_are_installed() -> None:
    truss, extras = machine.packages()
    assert (truss.check, truss.outcome) == ("Truss", "ok")
    assert "harness" in extras.found


@pytest.mark.parametrize(("missing", "failing"), [("truss", "Truss"), ("uvicorn", "extras")])
def test_what_the_harness_lacks_is_named_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch, missing: str, failing: str
) -> None:
    is_met = machine._is_met
    monkeypatch.setattr(machine, "_is_met", lambda each: each.name != missing and is_met(each))
    failed = {each.check: each for each in machine.packages() if each.outcome == "failed"}
    assert list(failed) == [failing]
    assert missing in failed[failing].found
    assert failed[failing].remedy == "pip install 'truss-async[harness]'"


def test_a_port_is_free_or_it_is_said_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = machine.port("127.0.0.1", other.getsockname()[1])
    assert taken.outcome == "failed"
    assert "cannot listen on 127.0.0.1" in taken.found
    assert "choose another with --port" in taken.remedy
    assert machine.port("127.0.0.1", 0).outcome == "ok"


def test_a_folder_that_is_not_there_yet_is_judged_by_the_one_above(tmp_path: Path) -> None:
    finding = machine.disk(tmp_path / "a" / "b", what="the state folder")
    assert (finding.outcome, "GB free" in finding.found) == ("ok", True)


def test_a_full_disk_is_to_be_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(machine, "LEAST_FREE_BYTES", usage.total + 1)
    finding = machine.disk(tmp_path, what="the state folder")
    assert (finding.outcome, finding.remedy[:9]) == ("failed", "make room")


def test_a_folder_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = machine.disk(tmp_path / "file" / "below", what="the state folder")
    assert finding.outcome == "failed"
    assert "cannot be written" in finding.found


@pytest.mark.parametrize(
    ("behind", "outcome"), [(0, "ok"), (60, "ok"), (200, "failed"), (-200, "failed"), (None, "note")]
)
def test_the_clock_is_compared_with_a_server(
    time_server: TimeServer, behind: float | None, outcome: str
) -> None:
    time_server.behind_seconds = behind
    assert machine.time_of_day(url_of(time_server), clock=SYSTEM_CLOCK).outcome == outcome


def test_a_clock_that_cannot_be_compared_is_a_note() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    finding = machine.time_of_day(url, clock=SYSTEM_CLOCK)
    assert (finding.outcome, "does not answer" in finding.found) == ("note", True)
