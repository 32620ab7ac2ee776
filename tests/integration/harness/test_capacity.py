"""Scale to zero, cold start and wake; replicas that crash or hang; slots that sync and async share."""

import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil

from tests.integration.harness.conftest import SECRET
from tests.integration.harness.gate import Gate, outcome
from tests.integration.harness.model_server import Answer, ModelServer
from tests.integration.harness.test_metrics import OF_PROCESSES, scrape, value, value_in
from truss_async.client import PlatformClient
from truss_async.clock import ManualClock
from truss_async.harness.harness import Harness
from truss_async.webhooks import WebhookReceiver

KEY = {"Authorization": "Api-Key any"}
DELAY_SECONDS = 60
WINDOW_SECONDS = 60
DEADLINE_SECONDS = 60
SCALES_TO_ZERO = {"min_replicas": 0, "scale_down_delay_seconds": DELAY_SECONDS}
SERVED = "from pathlib import Path\nMARK = Path({mark!r})\n{model}"


def truss(folder: Path, model: str) -> Path:
    """``MARK`` is a file that outlives the model's process."""
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").touch()
    (folder / "model" / "model.py").write_text(SERVED.format(mark=str(folder / "mark"), model=model))
    return folder


def wait_for_model(harness: Harness, state: str) -> None:
    """Wait until the model is said to be so; the timeout of the tests is the deadline."""
    pause = threading.Event()
    while (found := httpx.get(f"{harness.url}/healthz").json()["model"]) != state:
        assert not pause.wait(0.02), found


def scale_to_zero(harness: Harness, clock: ManualClock) -> None:
    wait_for_model(harness, "ready")
    clock.advance(DELAY_SECONDS)
    wait_for_model(harness, "scaled_to_zero")


def replicas(harness: Harness) -> tuple[float | None, float | None]:
    """The active ones and the starting ones, as the metrics have them."""
    return value(harness, "baseten_replicas_active"), value(harness, "baseten_replicas_starting")


def test_model_without_traffic_is_stopped_after_the_delay_and_not_before(
    serve: Callable[..., Harness],
) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, **SCALES_TO_ZERO)
    wait_for_model(harness, "ready")
    clock.advance(DELAY_SECONDS - 1)
    assert replicas(harness) == (1, 0)
    clock.advance(1)
    assert replicas(harness) == (0, 0)
    assert httpx.get(f"{harness.url}/healthz").json()["model"] == "scaled_to_zero"


def test_model_stays_by_default(serve: Callable[..., Harness]) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, replicas=2)
    wait_for_model(harness, "ready")
    clock.advance(hours=72)
    wait_for_model(harness, "ready")


def test_sync_call_wakes_the_model_and_waits_for_it(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, **SCALES_TO_ZERO)
    for _ in range(2):
        scale_to_zero(harness, clock)
        answer = httpx.post(f"{harness.url}/production/predict", json="cold", headers=KEY, timeout=30)
        assert (answer.status_code, answer.json()) == (200, {"echo": "cold"})
    assert len(model.calls) == 2


def test_wake_wakes_the_model(serve: Callable[..., Harness]) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, **SCALES_TO_ZERO)
    scale_to_zero(harness, clock)
    answer = httpx.post(f"{harness.url}/production/wake", headers=KEY)
    assert (answer.status_code, answer.content) == (202, b"")
    wait_for_model(harness, "ready")
    assert replicas(harness) == (1, 0)
    scale_to_zero(harness, clock)


def test_model_stays_while_a_request_waits_for_its_next_attempt(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, min_replicas=0, scale_down_delay_seconds=2)
    wait_for_model(harness, "ready")
    answers = iter([Answer(500), Answer(body=b"1")])
    model.behave = lambda _: next(answers)
    with PlatformClient(harness.url, api_key="any") as client:
        retry = {"initial_delay_ms": 10_000, "max_delay_ms": 10_000}
        request_id = client.submit(model_input=1, inference_retry_config=retry).request_id
        model.wait_for_a_call()
        clock.advance(9)
        assert replicas(harness) == (1, 0)
        clock.advance(1)
        assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")
        clock.advance(WINDOW_SECONDS + 2)
        assert replicas(harness) == (0, 0)


def test_replicas_follow_the_requests_up_to_the_maximum(serve: Callable[..., Harness], gate: Gate) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, replicas=3, **{**SCALES_TO_ZERO, "min_replicas": 1})
    wait_for_model(harness, "ready")
    with PlatformClient(harness.url, api_key="any") as client:
        ids = [client.submit(model_input=number).request_id for number in range(5)]
        assert gate.entered.acquire(timeout=30)
        clock.advance(WINDOW_SECONDS, patience_seconds=0.05)
        for _ in range(2):
            assert gate.entered.acquire(timeout=30)
        assert replicas(harness) == (3, 0)
        gate.opened.set()
        for request_id in ids:
            client.wait(request_id, timeout_seconds=30)
        clock.advance(DELAY_SECONDS + 3 * WINDOW_SECONDS)
    assert replicas(harness) == (1, 0)


def test_truss_that_has_no_traffic_has_no_process_and_an_async_request_starts_one(
    serve: Callable[..., Harness], tmp_path: Path
) -> None:
    model = "import os\nclass Model:\n    def predict(self, model_input): return os.getpid()"
    clock = ManualClock()
    harness = serve(clock=clock, model_url=None, truss_dir=truss(tmp_path / "truss", model), **SCALES_TO_ZERO)
    wait_for_model(harness, "ready")
    first = httpx.post(f"{harness.url}/production/predict", json=1, headers=KEY, timeout=30).json()
    assert psutil.pid_exists(first)
    scale_to_zero(harness, clock)
    with PlatformClient(harness.url, api_key="any") as client:
        request_id = client.submit(model_input=1).request_id
        assert client.status(request_id).status.value == "QUEUED"
        client.wait(request_id, timeout_seconds=DEADLINE_SECONDS)
    assert not psutil.pid_exists(first)


def test_replicas_that_hang_and_crash_are_replaced_and_their_request_is_tried_again(
    serve: Callable[..., Harness], reports: list[str], tmp_path: Path
) -> None:
    model = """
import os, time

class Model:
    async def predict(self, model_input):
        with MARK.open("a") as file:
            file.write("x")
        attempt = MARK.stat().st_size
        if attempt == 1:
            time.sleep(3600)
        if attempt == 2:
            os._exit(7)
        return attempt
"""
    truss_dir = truss(tmp_path / "truss", model)
    harness = serve(model_url=None, truss_dir=truss_dir, restart_threshold_seconds=2)
    with PlatformClient(harness.url, api_key="any") as client, WebhookReceiver(secrets=(SECRET,)) as receiver:
        request_id = client.submit(
            model_input=1,
            webhook_endpoint=receiver.url,
            inference_retry_config={"initial_delay_ms": 0},
        ).request_id
        result = receiver.wait_for(request_id, timeout_seconds=DEADLINE_SECONDS).result
    assert result is not None
    assert (result.data, result.errors) == (3, [])
    for said in (
        "has failed its health checks for 2 s (it does not answer) and was killed",
        "exited with status 7",
    ):
        assert any(line.startswith(f"replica-1 {said}; restarting in") for line in reports)
    check_processes(harness, restarts=2)


def check_processes(harness: Harness, *, restarts: int) -> None:
    """What its metrics tell of the processes of the one replica."""
    families = scrape(harness)
    assert {name: families[name].type for name in OF_PROCESSES} == OF_PROCESSES
    labels = {"replica": "replica-1"}
    cpu = value_in(families, "baseten_container_cpu_usage_seconds_total", **labels)
    memory = value_in(families, "baseten_container_cpu_memory_working_set_bytes", **labels)
    assert cpu is not None
    assert 0.1 < cpu < 600
    assert memory is not None
    assert 10e6 < memory < 1e9
    assert value_in(families, "baseten_container_restarts_total") == restarts
    assert value_in(families, "baseten_pod_readiness", condition="true") == 1


def test_async_requests_back_off_while_the_model_has_no_room_and_resume(
    serve: Callable[..., Harness], model: ModelServer
) -> None:
    clock = ManualClock()
    harness = serve(clock=clock)
    answers = iter([Answer(429), Answer(429), Answer(body=b"1")])
    model.behave = lambda _: next(answers)
    with PlatformClient(harness.url, api_key="any") as client:
        retry = {"initial_delay_ms": 10_000, "max_delay_ms": 10_000, "max_attempts": 1}
        request_id = client.submit(model_input=1, inference_retry_config=retry).request_id
        model.wait_for_a_call()
        clock.advance(9)
        assert len(model.calls) == 1
        clock.advance(1)
        assert len(model.calls) == 2
        clock.advance(10)
        assert outcome(client.wait(request_id, timeout_seconds=30)) == ("SUCCEEDED", "NO_WEBHOOK_PROVIDED")


def test_sync_and_async_share_the_slots_of_all_replicas(
    serve: Callable[..., Harness], gate: Gate, model: ModelServer
) -> None:
    harness = serve(replicas=2)
    caller = threading.Thread(
        target=lambda: httpx.post(f"{harness.url}/production/predict", json="sync", headers=KEY, timeout=30)
    )
    caller.start()
    assert gate.entered.acquire(timeout=30)
    with PlatformClient(harness.url, api_key="any") as client:
        first, second = (client.submit(model_input=number).request_id for number in (1, 2))
        assert gate.entered.acquire(timeout=30)
        assert client.status(second).status.value == "QUEUED"
        assert (value(harness, "baseten_concurrent_requests"), len(model.calls)) == (1, 2)
        gate.opened.set()
        for request_id in (first, second):
            client.wait(request_id, timeout_seconds=30)
    caller.join(30)
    assert [model_input for _, model_input in model.calls] == ["sync", 1, 2]
