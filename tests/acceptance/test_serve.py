import signal
import socket
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest

from tests.acceptance.serving import COMMAND, Served, make_truss
from truss_async.client import PlatformClient

ECHO = """
class Model:
    def predict(self, model_input):
        print("seen", model_input)
        return {"echo": model_input}
"""

BROKEN = """
class Model:
    def load(self):
        raise LookupError("no weights here")

    def predict(self, model_input):
        return model_input
"""


@pytest.mark.parametrize(("number", "replicas"), [(signal.SIGINT, 2), (signal.SIGTERM, 1)])
def test_a_signal_ends_it_and_leaves_no_process_behind(
    tmp_path: Path, number: signal.Signals, replicas: int
) -> None:
    truss = make_truss(tmp_path / "truss", ECHO)
    with Served(truss, "--port", "0", "--replicas", str(replicas), cwd=tmp_path) as served:
        for which in range(1, replicas + 1):
            served.wait_for_line(f"replica-{which} is ready")
        started = served.descendants()
        assert len(started) >= replicas
        assert served.stop(number) == 0
        assert not [process for process in started if psutil.pid_exists(process.pid) and process.is_running()]
        assert "Traceback" not in served.stderr


def test_requests_wait_for_the_model_and_its_log_shows_their_id(tmp_path: Path) -> None:
    truss = make_truss(tmp_path / "truss", ECHO)
    with (
        Served(truss, "--port", "0", cwd=tmp_path) as served,
        PlatformClient(served.url, api_key="k") as client,
    ):
        answer = httpx.get(f"{served.url}/healthz")
        assert (answer.status_code, answer.json()["model"]) == (200, "starting")
        request_id = client.submit(model_input="hello").request_id
        assert client.wait(request_id, timeout_seconds=60).status.value == "SUCCEEDED"
        served.wait_for_line("seen hello")


def test_requests_for_a_truss_that_does_not_load_wait_or_expire_and_the_mended_one_runs_them(
    tmp_path: Path,
) -> None:
    truss = make_truss(tmp_path / "truss", BROKEN)
    with (
        Served(truss, "--port", "0", "--virtual-clock", cwd=tmp_path) as served,
        PlatformClient(served.url, api_key="k") as client,
        httpx.Client(base_url=served.url, headers={"Authorization": "Api-Key k"}, timeout=60) as http,
    ):
        impatient, patient = (
            client.submit(model_input="hello", max_time_in_queue_seconds=seconds).request_id
            for seconds in (60, 61)
        )
        served.wait_for_line("replica-1 did not start")
        http.post("/_harness/clock", json={"advance_seconds": 60}).raise_for_status()
        assert client.status(impatient).status.value == "EXPIRED"
        assert client.status(patient).status.value == "QUEUED"
        answer = http.post("/production/predict", json="hello")
        assert (answer.status_code, "no weights here" in answer.json()["error"]) == (503, True)
        (truss / "model" / "model.py").write_text(ECHO)
        assert client.wait(patient, timeout_seconds=60).status.value == "SUCCEEDED"
        assert served.stderr.count("replica-1 | LookupError: no weights here") == 1


def test_a_port_in_use_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    truss = make_truss(tmp_path / "truss", ECHO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [COMMAND, "serve", truss, "--port", port],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert "--port" in done.stderr


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_a_folder_without_a_truss_is_one_line(tmp_path: Path, missing: str) -> None:
    done = subprocess.run(
        [COMMAND, "serve", missing, "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
