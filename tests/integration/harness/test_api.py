import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.integration.harness.model_server import Answer, ModelServer
from truss_async.errors import HarnessError, SettingsError
from truss_async.harness.harness import Harness

INPUT = {"model_input": {"x": 1}}


@pytest.mark.parametrize(
    "target",
    [
        "/production",
        "/development",
        "/environments/production",
        "/deployment/local1",
        "",
        "/model/local/production",
    ],
)
def test_every_target_takes_sync_and_async_calls(http: httpx.Client, target: str) -> None:
    accepted = http.post(f"{target}/async_predict", json=INPUT)
    assert accepted.status_code == 201
    assert set(accepted.json()) == {"request_id"}
    assert len(bytes.fromhex(accepted.json()["request_id"])) == 16
    answer = http.post(f"{target}/predict", json={"x": 1})
    assert (answer.status_code, answer.json()) == (200, {"echo": {"x": 1}})


@pytest.mark.parametrize(
    ("path", "status_code"),
    [
        ("/environments/staging/async_predict", 404),
        ("/deployment/other/async_predict", 404),
        ("/model/other/production/async_predict", 404),
        ("/nowhere", 404),
    ],
)
def test_what_is_not_served_is_404(http: httpx.Client, path: str, status_code: int) -> None:
    answer = http.post(path, json=INPUT)
    assert answer.status_code == status_code
    assert answer.json()["error_code"] == "model_does_not_exist"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "invalid JSON"),
        (b"", "invalid JSON"),
        (b'{"model_input": NaN}', "invalid JSON"),
        (b"[]", "object"),
        (b"{}", "model_input"),
        (b'{"model_input": 1, "priority": 7}', "priority"),
        (b'{"model_input": 1, "webhook_endpoint": "http://example.com"}', "https://"),
        (b'{"model_input": 1, "max_time_in_queue_seconds": 9}', "max_time_in_queue_seconds"),
        (
            b'{"model_input": 1, "inference_retry_config": {"max_attempts": 11}}',
            "inference_retry_config.max_attempts",
        ),
    ],
)
def test_a_bad_request_is_400_and_told_why(http: httpx.Client, body: bytes, message: str) -> None:
    answer = http.post("/production/async_predict", content=body)
    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert answer.json()["error_code"] == "client_error"


def test_a_missing_or_wrong_key_is_401(serve: Callable[..., Harness]) -> None:
    harness = serve(api_key="s3cret")
    for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": "s3cret"}):
        answer = httpx.post(f"{harness.url}/production/async_predict", json=INPUT, headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (401, "unauthorized")
    for scheme in ("Api-Key", "Bearer"):
        answer = httpx.post(
            f"{harness.url}/production/async_predict",
            json=INPUT,
            headers={"Authorization": f"{scheme} s3cret"},
        )
        assert answer.status_code == 201


def test_a_body_over_the_limit_is_413_with_both_sizes(http: httpx.Client) -> None:
    answer = http.post("/production/async_predict", json={"model_input": "x" * 262144})
    assert answer.status_code == 413
    size = int(answer.request.headers["content-length"])
    assert answer.json()["error"] == f"payload size of {size} bytes exceeds maximum size of 262144 bytes"


def test_an_unknown_request_is_404(http: httpx.Client) -> None:
    for answer in (http.get("/async_request/f00"), http.delete("/async_request/f00")):
        assert answer.status_code == 404
        assert "f00" in answer.json()["error"]


def test_the_sync_calls_request_id_reaches_the_model(http: httpx.Client, model: ModelServer) -> None:
    answer = http.post("/production/predict", json=5, headers={"X-Baseten-Request-Id": "forged"})
    assert model.calls == [(answer.headers["x-baseten-request-id"], 5)]
    assert answer.headers["x-baseten-request-id"] != "forged"


def test_the_callers_key_does_not_reach_the_model(http: httpx.Client, model: ModelServer) -> None:
    http.post("/production/predict", json=5, headers={"X-Own": "kept"})
    assert "authorization" not in model.headers[0]
    assert model.headers[0]["x-own"] == "kept"


def test_the_models_own_status_headers_and_body_pass_through(http: httpx.Client, model: ModelServer) -> None:
    model.behave = lambda _: Answer(418, b"short and stout", {"Content-Type": "text/tea", "X-Pot": "yes"})
    answer = http.post("/production/predict", json=0)
    assert (answer.status_code, answer.content) == (418, b"short and stout")
    assert (answer.headers["content-type"], answer.headers["x-pot"]) == ("text/tea", "yes")


def test_a_sync_answer_streams(http: httpx.Client, model: ModelServer) -> None:
    model.behave = lambda _: Answer(headers={"Content-Type": "text/plain"}, chunks=[b"one ", b"two"])
    assert http.post("/production/predict", json=0).text == "one two"


def test_a_model_that_hangs_up_is_502(http: httpx.Client, model: ModelServer) -> None:
    model.behave = lambda _: Answer(is_cut=True)
    answer = http.post("/production/predict", json=0)
    assert (answer.status_code, answer.json()["error_code"]) == (502, "model_unavailable")


def test_slots_come_back_after_every_kind_of_sync_call(http: httpx.Client, model: ModelServer) -> None:
    """There is one slot; a leak would leave the last call waiting."""
    for behave in (
        lambda _: Answer(is_cut=True),
        lambda _: Answer(500),
        lambda _: Answer(chunks=[b"x"]),
        lambda _: Answer(body=b"1"),
    ):
        model.behave = behave
        http.post("/production/predict", json=0)
    answer = http.post("/production/predict", json=0, timeout=10)
    assert answer.status_code == 200, answer.text


def test_health_needs_no_key_and_tells_of_the_model(harness: Harness) -> None:
    answer = httpx.get(f"{harness.url}/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok"


def test_the_queue_status_counts(http: httpx.Client) -> None:
    answer = http.get("/production/async_queue_status")
    assert answer.json() == {
        "model_id": "local",
        "deployment_id": "local1",
        "num_queued_requests": 0,
        "num_in_progress_requests": 0,
    }


def test_wake_is_202_with_an_empty_body(http: httpx.Client) -> None:
    answer = http.post("/production/wake")
    assert (answer.status_code, answer.content) == (202, b"")


def test_a_port_in_use_fails_at_start_and_names_the_remedy(
    serve: Callable[..., Harness], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(HarnessError, match="--port"):
        serve(port=taken.getsockname()[1])


def test_a_second_harness_on_a_state_folder_is_refused(
    harness: Harness, serve: Callable[..., Harness]
) -> None:
    with pytest.raises(HarnessError, match="another harness uses"):
        serve()
    assert httpx.get(f"{harness.url}/healthz").status_code == 200


def test_closing_twice_is_harmless(harness: Harness) -> None:
    harness.close()
    harness.close()


def test_an_unusable_state_folder_fails_at_start(serve: Callable[..., Harness], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(SettingsError, match=r"the state folder .* cannot be used"):
        serve(state_dir=tmp_path / "file" / "state")
