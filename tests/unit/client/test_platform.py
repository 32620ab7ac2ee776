"""What the client sends, and that everything that goes wrong is one line with the remedy."""

import json
import math
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from tests.unit.client.scripted_platform import ScriptedPlatform, status_answer
from truss_async import client
from truss_async.client import PlatformClient
from truss_async.clock import ManualClock
from truss_async.contract import AsyncPredictRequest, RequestStatus
from truss_async.errors import ApiError, SettingsError, TrussAsyncError

REQUEST_ID = "ab" * 16
STATUS_PATH = f"/async_request/{REQUEST_ID}"


def test_submit_sends_what_the_platform_reads(platform: ScriptedPlatform, client: PlatformClient) -> None:
    platform.answer("POST", "/production/async_predict", 201, {"request_id": REQUEST_ID})
    assert client.submit(model_input={"text": "é"}, priority=2).request_id == REQUEST_ID
    (call,) = platform.calls
    assert call.headers["authorization"] == "Api-Key k"
    assert call.headers["content-type"] == "application/json"
    assert json.loads(call.body)["model_input"] == {"text": "é"}
    assert AsyncPredictRequest.model_validate_json(call.body).priority == 2


def test_a_chain_is_called_by_its_words(platform: ScriptedPlatform) -> None:
    platform.answer("POST", "/chain/report/production/async_run_remote", 201, {"request_id": REQUEST_ID})
    with PlatformClient(f"{platform.url}/chain/report", api_key="k") as client:
        assert client.submit(model_input=1).request_id == REQUEST_ID


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("development", "/development"),
        ("environments/staging", "/environments/staging"),
        ("/deployment/abc/", "/deployment/abc"),
        ("", ""),
    ],
)
def test_submit_and_queue_status_reach_every_target(
    platform: ScriptedPlatform, target: str, path: str
) -> None:
    counts = {"model_id": "m", "deployment_id": "d", "num_queued_requests": 3, "num_in_progress_requests": 1}
    platform.answer("POST", f"{path}/async_predict", 201, {"request_id": REQUEST_ID})
    platform.answer("GET", f"{path}/async_queue_status", 200, counts)
    with PlatformClient(platform.url, api_key="k", target=target) as client:
        assert client.submit(AsyncPredictRequest(model_input=1)).request_id == REQUEST_ID
        assert client.queue_status().model_dump() == counts


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "model_input: Field required"),
        ({"model_input": 1, "priority": 7}, "priority: .*less than or equal to 2"),
        ({"model_input": 1, "webhook_endpoint": "http://example.com"}, "webhook_endpoint: must use https://"),
        ({"model_input": object()}, "cannot be sent as JSON"),
        ({"model_input": "\ud800"}, "cannot be sent as JSON"),
        ({"model_input": [math.nan]}, "cannot be sent as JSON"),
        ({"model_input": {"a": -math.inf}}, "cannot be sent as JSON"),
    ],
)
def test_a_request_that_the_platform_would_refuse_is_not_sent(
    platform: ScriptedPlatform, client: PlatformClient, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        client.submit(**fields)
    assert platform.calls == []


def test_status_and_cancel_are_read(platform: ScriptedPlatform, client: PlatformClient) -> None:
    platform.answer("GET", STATUS_PATH, 200, status_answer("IN_PROGRESS", "PENDING", new_field=1))
    platform.answer(
        "DELETE", STATUS_PATH, 200, {"request_id": REQUEST_ID, "canceled": False, "message": "late"}
    )
    assert client.status(REQUEST_ID).status is RequestStatus.IN_PROGRESS
    assert client.cancel(REQUEST_ID).message == "late"


def test_an_id_never_leaves_its_place_in_the_path(platform: ScriptedPlatform, client: PlatformClient) -> None:
    for odd in ("../production/predict", "a/b?c#d", "ä b", "\ud800"):
        with pytest.raises(ApiError, match="404"):
            client.status(odd)
    assert all(call.path.count("/") == 2 for call in platform.calls)
    for empty in ("", ".", ".."):
        with pytest.raises(SettingsError, match="request id is empty"):
            client.cancel(empty)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, {"error": "priority must be 0, 1 or 2"}, r"refused \(400\): priority must be 0, 1 or 2"),
        (
            401,
            {"error": "unauthorized"},
            r"refused the API key \(401: unauthorized\); check TRUSS_ASYNC_API_KEY",
        ),
        (403, b"", r"refused the API key \(403: no reason given\)"),
        (404, {"error": "gone"}, r"is unknown \(404: gone\); a status is kept for one hour"),
        (413, {"error": {"code": 1}}, r"refused \(413\): \{\"code\":1\}"),
        (429, {"error": "slow\ndown\x1b[31m"}, r"refused \(429\): slow down\\u001b\[31m$"),
        (529, {"error": "no room", "detail": "why"}, r"refused \(529\): no room \(why\)$"),
        (529, {"error": "no room", "detail": None}, r"refused \(529\): no room$"),
        (500, b"[" * 100_000, "no JSON error"),
        (502, b"<html>\n bad gateway", "no JSON error, but '<html> bad gateway'"),
        (503, b"\xff\x00", "no JSON error"),
        (301, b"", r"refused \(301\)"),
        (200, b"<html>", "not like the platform; check the URL"),
        (200, {"status": "NEW_STATUS"}, "not like the platform"),
    ],
)
def test_a_refusal_is_one_line_that_says_what_to_do(
    platform: ScriptedPlatform, client: PlatformClient, status: int, body: Any, message: str
) -> None:
    platform.answer("GET", STATUS_PATH, status, body)
    with pytest.raises(ApiError, match=message) as caught:
        client.status(REQUEST_ID)
    assert caught.value.status_code == status
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_a_wrong_target_is_told_apart_from_an_old_request(client: PlatformClient) -> None:
    with pytest.raises(ApiError, match="check the URL and the target"):
        client.submit(model_input=1)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_nobody_listening_names_the_command_that_starts_the_harness() -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    with (
        PlatformClient(url, api_key="k") as client,
        pytest.raises(
            ApiError, match=f"nothing listens on {url}; start it with: truss-async serve"
        ) as caught,
    ):
        client.status(REQUEST_ID)
    assert caught.value.status_code is None


def test_an_unknown_host_is_one_line() -> None:
    with (
        PlatformClient("https://model-x.invalid", api_key="k") as client,
        pytest.raises(ApiError, match=r"cannot reach https://model-x\.invalid: .*check the URL"),
    ):
        client.status(REQUEST_ID)


def test_no_answer_in_time_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with (
            PlatformClient(url, api_key="k", timeout_seconds=0.05) as client,
            pytest.raises(ApiError, match=r"gave no answer within 0\.05 s"),
        ):
            client.submit(model_input=1)


def test_an_answer_cut_short_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with (
            PlatformClient(f"http://127.0.0.1:{server.getsockname()[1]}", api_key="k") as client,
            pytest.raises(ApiError, match=r"cannot reach .*disconnected"),
        ):
            client.status(REQUEST_ID)
        thread.join(10)


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8090", "ftp://x", "http://", "http://x:y", "http://[", "https://a b", "http://a\n"]
)
def test_what_is_no_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(SettingsError, match="is not the URL of a model"):
        PlatformClient(url, api_key="k")


@pytest.mark.parametrize("api_key", ["", "kéy", "a\nb"])
def test_what_is_no_api_key_is_refused_at_once(api_key: str) -> None:
    with pytest.raises(SettingsError, match="API key"):
        PlatformClient("http://127.0.0.1:1", api_key=api_key)


def test_a_proxy_is_not_asked_for_this_machine(
    platform: ScriptedPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    platform.answer("GET", STATUS_PATH, 200, status_answer("QUEUED"))
    with PlatformClient(platform.url, api_key="k") as client:
        assert client.status(REQUEST_ID).status is RequestStatus.QUEUED


class Hasty(ManualClock):
    """A clock that lets nobody wait: to block moves it on."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    def block(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)


def test_wait_polls_until_the_webhook_is_through(platform: ScriptedPlatform) -> None:
    for answer in (
        (200, status_answer("QUEUED", "PENDING")),
        (429, {"error": "slow down"}),
        (503, b""),
        (200, status_answer("SUCCEEDED", "PENDING")),
        (200, status_answer("SUCCEEDED")),
    ):
        platform.answer("GET", STATUS_PATH, *answer)
    clock = Hasty()
    with PlatformClient(platform.url, api_key="k", clock=clock) as client:
        assert client.wait(REQUEST_ID).status is RequestStatus.SUCCEEDED
    assert clock.pauses == pytest.approx([0.1, 0.15, 0.225, 0.3375])


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, status_answer("IN_PROGRESS", "PENDING"), "is still IN_PROGRESS after 60 s"),
        (503, b"", "is still unknown: no answer after 60 s"),
        (404, {"error": "gone"}, "404"),
    ],
)
def test_wait_ends_when_the_time_is_up_or_the_request_unknown(
    platform: ScriptedPlatform, status: int, body: Any, message: str
) -> None:
    platform.answer("GET", STATUS_PATH, status, body)
    clock = Hasty()
    with (
        PlatformClient(platform.url, api_key="k", clock=clock) as client,
        pytest.raises(ApiError, match=message),
    ):
        client.wait(REQUEST_ID, timeout_seconds=60)
    assert max(clock.pauses, default=0) <= 2


def test_without_httpx_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(TrussAsyncError, match=r"pip install 'truss-async\[client\]'"):
        PlatformClient("http://127.0.0.1:1", api_key="k")


def test_importing_the_client_loads_no_http_library() -> None:
    code = "import sys, truss_async.client; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_public_names_are_these() -> None:
    assert client.__all__ == [
        "AsyncPlatformClient",
        "HarnessClient",
        "Inbox",
        "PlatformClient",
        "Reconciled",
        "StoreInbox",
        "reconcile",
    ]
