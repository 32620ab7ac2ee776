"""The platform's limits on calls: 429, and when to come again."""

from collections.abc import Callable

import httpx
import pytest

from tests.integration.harness.gate import Gate
from truss_async.clock import ManualClock
from truss_async.harness.harness import Harness

KEY = {"Authorization": "Api-Key any"}
INPUT = {"model_input": 1}


@pytest.mark.parametrize(
    ("limit", "method", "path", "advance_seconds"),
    [
        ({"async_calls_per_minute": 3}, "POST", "/production/async_predict", 20),
        ({"status_calls_per_second": 3}, "GET", "/async_request/f00", 1),
        ({"cancel_calls_per_second": 3}, "DELETE", "/async_request/f00", 1),
        ({"queue_status_calls_per_second": 3}, "GET", "/production/async_queue_status", 1),
    ],
)
def test_calls_over_the_limit_are_429_with_retry_after(
    serve: Callable[..., Harness], limit: dict[str, int], method: str, path: str, advance_seconds: int
) -> None:
    clock = ManualClock()
    harness = serve(clock=clock, **limit)
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as http:
        answers = [http.request(method, path, content=b'{"model_input": 1}') for _ in range(4)]
        assert [answer.status_code == 429 for answer in answers] == [False, False, False, True]
        assert answers[-1].json()["error_code"] == "rate_limited"
        assert answers[-1].headers["retry-after"] == str(advance_seconds)
        clock.advance(advance_seconds)
        assert http.request(method, path, content=b'{"model_input": 1}').status_code != 429


def test_open_requests_over_the_limit_are_429_until_one_is_over(
    serve: Callable[..., Harness], gate: Gate
) -> None:
    harness = serve(max_open_requests=2)
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as http:
        ids = [http.post("/production/async_predict", json=INPUT).json()["request_id"] for _ in range(2)]
        assert gate.entered.acquire(timeout=30)
        refused = http.post("/production/async_predict", json=INPUT)
        assert (refused.status_code, refused.json()["error_code"]) == (429, "rate_limited")
        assert refused.headers["retry-after"] == "1"
        canceled = [http.delete(f"/async_request/{request_id}").json()["canceled"] for request_id in ids]
        assert canceled.count(True) == 1
        assert http.post("/production/async_predict", json=INPUT).status_code == 201


def test_what_an_earlier_run_left_counts_too(serve: Callable[..., Harness], gate: Gate) -> None:
    first = serve()
    for _ in range(2):
        httpx.post(f"{first.url}/production/async_predict", json=INPUT, headers=KEY)
    assert gate.entered.acquire(timeout=30)
    first.close()
    second = serve(max_open_requests=2)
    refused = httpx.post(f"{second.url}/production/async_predict", json=INPUT, headers=KEY)
    assert refused.status_code == 429


def test_status_calls_do_not_use_up_cancel_calls(serve: Callable[..., Harness]) -> None:
    harness = serve(clock=ManualClock(), limits="older")
    with httpx.Client(base_url=harness.url, headers=KEY, timeout=30) as http:
        asked = [http.get("/async_request/f00").status_code for _ in range(21)]
        assert asked == [404] * 20 + [429]
        assert http.delete("/async_request/f00").status_code == 404
