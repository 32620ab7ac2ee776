import json
import random
import signal
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.acceptance.serving import Served, make_truss
from truss_async import OutputStore
from truss_async.client import PlatformClient
from truss_async.webhooks import WebhookReceiver

SECRET = "whsec_" + "Q7w" * 12
REQUESTS = 200
KILLS = 3

SLOW = """
import time
from truss_async import AsyncOutputModel

class Model(AsyncOutputModel):
    def predict(self, model_input):
        time.sleep(0.02)
        return {"number": model_input["number"], "text": "OUTPUT-9c1d"}
"""

GATED = """
import pathlib, time
from truss_async import AsyncOutputModel

class Model(AsyncOutputModel):
    def predict(self, model_input):
        gate = pathlib.Path(model_input["gate"])
        gate.with_suffix(".entered").touch()
        while not gate.exists():
            time.sleep(0.01)
        return "computed at length"
"""

WITH_PLUGIN = """
requirements: ["truss-async"]
runtime:
  predict_concurrency: 4
"""


def test_every_request_ends_well_though_the_harness_is_killed_three_times(tmp_path: Path) -> None:
    truss = make_truss(tmp_path / "truss", SLOW, config=WITH_PLUGIN)
    store_url = f"file://{tmp_path}/outputs"
    state = tmp_path / "state"
    seed = random.randrange(2**32)
    print("seed", seed)
    kills = sorted(random.Random(seed).sample(range(5, REQUESTS - 20), KILLS))
    arguments = (truss, "--port", "0", "--state-dir", state, "--webhook-secret", SECRET)
    environment = {"TRUSS_ASYNC_OUTPUT_URL": store_url}
    ids: list[str] = []

    with WebhookReceiver(secrets=[SECRET]) as receiver:
        for kill_after in kills:
            with Served(*arguments, environment=environment, cwd=tmp_path) as served:
                if not ids:
                    with PlatformClient(served.url, api_key="k") as client:
                        ids = [
                            client.submit(
                                model_input={"number": number, "text": "INPUT-7f3a"},
                                webhook_endpoint=receiver.url,
                            ).request_id
                            for number in range(REQUESTS)
                        ]
                receiver.wait_for_count(kill_after, timeout_seconds=60)
                assert served.stop(signal.SIGKILL) == -signal.SIGKILL
        with (
            Served(*arguments, environment=environment, cwd=tmp_path) as served,
            PlatformClient(served.url, api_key="k") as client,
        ):
            for request_id in ids:
                status = client.wait(request_id, timeout_seconds=60)
                assert (status.status.value, status.webhook_status.value) == ("SUCCEEDED", "SUCCEEDED")
        received = Counter(delivery.request_id for delivery in receiver.deliveries)

    assert set(received) == set(ids)
    store = OutputStore.from_url(store_url)
    assert [store.get(request_id).data["number"] for request_id in ids] == list(range(REQUESTS))
    # After the end, neither inputs nor outputs are in the state folder.
    left = b"".join(file.read_bytes() for file in state.iterdir() if file.is_file())
    assert b"INPUT-7f3a" not in left
    assert b"OUTPUT-9c1d" not in left


@pytest.fixture
def gated(tmp_path: Path) -> Path:
    return make_truss(tmp_path / "truss", GATED, config=WITH_PLUGIN)


def test_a_call_whose_caller_gives_up_has_its_output_in_the_store(tmp_path: Path, gated: Path) -> None:
    store_url = f"file://{tmp_path}/outputs"
    gate = tmp_path / "gate"
    with Served(
        gated, "--port", "0", environment={"TRUSS_ASYNC_OUTPUT_URL": store_url}, cwd=tmp_path
    ) as served:
        served.wait_for_line("is ready")
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{served.url}/production/predict",
                json={"gate": str(gate)},
                headers={"Authorization": "Api-Key k"},
                timeout=httpx.Timeout(10, read=1),
            )
        assert gate.with_suffix(".entered").exists()
        gate.touch()
        tick = threading.Event()
        outputs = tmp_path / "outputs"
        for _ in range(600):
            saved = list(outputs.glob("*.json"))
            if saved:
                break
            tick.wait(0.05)
    (result,) = [json.loads(file.read_text()) for file in saved]
    assert result["data"] == "computed at length"
    assert result["request_id"] == saved[0].stem


def test_an_unwritable_store_fails_the_request_loudly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    truss = make_truss(tmp_path / "truss", SLOW, config=WITH_PLUGIN)
    environment = {
        "TRUSS_ASYNC_OUTPUT_URL": f"file://{tmp_path}/file/outputs",
        "TRUSS_ASYNC_OUTPUT_CHECK": "false",
    }
    with Served(truss, "--port", "0", environment=environment, cwd=tmp_path) as served:
        with PlatformClient(served.url, api_key="k") as client:
            request_id = client.submit(
                model_input={"number": 1}, inference_retry_config={"max_attempts": 1}
            ).request_id
            status = client.wait(request_id, timeout_seconds=60)
        assert (status.status.value, status.errors[0].code) == ("FAILED", "MODEL_PREDICT_ERROR")
        served.wait_for_line("cannot write")
