"""What newcomers run into, with real processes: two trusses in one folder, a model that does not load, nothing to serve."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.serving import COMMAND, Served, make_truss
from truss_async.client import PlatformClient

ECHO = """
class Model:
    def predict(self, model_input):
        print("seen", model_input)
        return model_input
"""
BROKEN = """
class Model:
    def predict(self, model_input: return model_input
"""


def test_a_request_for_one_truss_is_never_run_by_another_in_the_same_folder(tmp_path: Path) -> None:
    first, second = make_truss(tmp_path / "a", BROKEN), make_truss(tmp_path / "b", ECHO)
    with Served(first, "--port", "0", cwd=tmp_path) as served:
        with PlatformClient(served.url, api_key="k") as client:
            for_first = client.submit(model_input="for a", max_time_in_queue_seconds=3600).request_id
        served.wait_for_line(
            "SyntaxError: invalid syntax; fix the model; it is loaded again when you edit it"
        )
        told = subprocess.run(
            [COMMAND, "status", for_first[:8], "--url", served.url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert "the model does not load: SyntaxError: invalid syntax" in told
        assert served.stop(signal.SIGINT) == 0
        assert "ending: 1 request waits in .truss-async; serve it again to continue" in served.stderr
        assert served.stderr.count("replica-1 did not start") == 1
    with (
        Served(second, "--port", "0", cwd=tmp_path) as served,
        PlatformClient(served.url, api_key="k") as client,
    ):
        served.wait_for_line("1 request of an earlier run is for the deployment a1, the model a from ")
        own = client.submit(model_input="for b", priority=2).request_id
        assert client.wait(own, timeout_seconds=60).status.value == "SUCCEEDED"
        assert client.status(for_first).status.value == "QUEUED"
        assert "seen for a" not in served.stderr


@pytest.mark.parametrize(
    ("model", "config", "options", "said"),
    [
        (ECHO, "resources: {cpu: lots}\n", [], "; correct config.yaml (truss-async doctor "),
        (ECHO, "requirements: [no-such-package-at-all==9]\n", ["--no-install", "--python", sys.executable], "lacks no-such-package-at-all==9, and --no-install forbids installing it: install it there, or remove"),
        (ECHO, "", ["--python", "3.1"], "no Python 3.1 was found on PATH"),
        (BROKEN, "", ["--fail-fast"], "the model does not load: SyntaxError: invalid syntax; fix the model"),
    ],
    ids=["a wrong config", "nothing may be installed", "no such Python", "fail fast"],
)  # fmt: skip
def test_what_cannot_be_served_ends_it_with_one_sentence(
    tmp_path: Path, model: str, config: str, options: list[str], said: str
) -> None:
    truss = make_truss(tmp_path / "truss", model, config=config)
    done = subprocess.run(
        [COMMAND, "serve", truss, "--port", "0", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    own = [line for line in done.stderr.splitlines() if "replica-1 |" not in line and "next: " not in line]
    assert own[-1].startswith("truss-async: ")
    assert said in own[-1]
    assert "did not start" not in done.stderr
