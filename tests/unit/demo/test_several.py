"""Several real nodes on a real database, of which one is killed."""

import io
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import RequestStatus, WebhookStatus
from truss_async.demo.outcomes import PageOutcome
from truss_async.demo.screen import Screen
from truss_async.demo.several import find_problem, run_nodes_demo
from truss_async.errors import SettingsError

LOST = "no result arrived; it is SUCCEEDED, webhook SUCCEEDED"


def test_when_one_of_three_nodes_is_killed_the_others_lose_nothing() -> None:
    shown = io.StringIO()
    screen = Screen(clock=SYSTEM_CLOCK, console=Console(file=shown, width=170))
    assert run_nodes_demo(3, screen=screen) == []
    story = re.sub(r"^ *[\d.]+ s  ", "", shown.getvalue(), flags=re.MULTILINE)
    told = [
        r"PostgreSQL \S+ started, with an empty database",
        *(rf"node {n} on http://127\.0\.0\.1:\d+ serves a stub, 4 requests at a time" for n in (1, 2, 3)),
        r"load balancer on http://127\.0\.0\.1:\d+: each call goes to the next node",
        "120 async requests accepted: 40 by node 1, 40 by node 2, 40 by node 3",
        r"node 2 killed with kill -9, at work, when \d+ results had arrived",
        r"40 async requests accepted: \d+ by node 1, \d+ by node 3",
        r"160 of 160 results arrived, the last within \S+ s of the kill",
        r"requests that the killed node was running, and the others ran again once its lease of 3 s had ended: [1-8]",
        r"results that arrived more than once: \d",
        "nothing is lost: each request SUCCEEDED, and its signed webhook holds its own output",
        r"next: .*truss-async serve TRUSS --state postgresql://…",
    ]
    assert re.fullmatch("\n".join([*told, ""]), story), story


def test_fewer_than_two_nodes_are_refused_before_anything_starts() -> None:
    with pytest.raises(SettingsError, match="--nodes must be at least 2"):
        run_nodes_demo(1)


@pytest.mark.parametrize("moment", ["PostgreSQL", "accepted"])
def test_an_interrupted_demo_leaves_no_process_and_no_file_behind(moment: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [str(Path(sys.executable).with_name("truss-async")), "demo", "--nodes", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The path of its database, which is not below this folder, is in the arguments of the nodes.
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if moment in line:
                break
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.splitlines()[-1] == "truss-async: interrupted"
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listing.splitlines() if str(tmp_path) in line] == []
    assert list(tmp_path.iterdir()) == []


def test_a_request_for_which_everything_held_has_no_problem(good: PageOutcome) -> None:
    assert good.delivery is not None
    assert good.delivery.result is not None
    data = good.delivery.result.data
    assert isinstance(data, dict)
    assert find_problem([good.delivery] * 2, good.status, asked=data) is None
    assert find_problem([good.delivery], good.status, asked={}) == (
        "its webhook holds another output than its own"
    )
    refused = replace(good.delivery, verdict="too old", result=None)
    assert find_problem([good.delivery, refused], good.status, asked=data) == (
        "the signature of its webhook is not valid: too old"
    )
    failed = good.status.model_copy(update={"status": RequestStatus.FAILED})
    assert find_problem([good.delivery], failed, asked=data) == "it is FAILED, webhook SUCCEEDED"
    waiting = good.status.model_copy(update={"webhook_status": WebhookStatus.PENDING})
    assert find_problem([good.delivery], waiting, asked=data) == "it is SUCCEEDED, webhook PENDING"
    assert find_problem([], good.status, asked=data) == LOST
