"""Without a key, a page whose name leads to this machine gets nothing; with one, it does not know it."""

from collections.abc import Callable

import httpx
import pytest

from truss_async.harness.harness import Harness

KEY = {"Authorization": "Api-Key any"}
REBOUND = {"Host": "evil.example.com:8090"}


def status(harness: Harness, method: str, path: str, **headers: str) -> int:
    content = None if method == "GET" else b'{"model_input": 1}'
    return httpx.request(
        method, f"{harness.url}{path}", content=content, headers={**KEY, **headers}
    ).status_code


CALLS = [
    ("POST", "/_harness/secrets"),
    ("GET", "/_harness/secrets"),
    ("POST", "/_harness/faults"),
    ("GET", "/_harness/no/such"),
    ("GET", "/healthz"),
    ("GET", "/metrics"),
]
OF_THE_PLATFORM = [
    ("POST", "/production/async_predict"),
    ("POST", "/production/predict"),
    ("GET", "/production/async_queue_status"),
    ("GET", "/async_request/f00"),
]


@pytest.mark.parametrize(("method", "path"), [*CALLS, *OF_THE_PLATFORM])
def test_a_name_that_leads_here_is_not_enough(harness: Harness, method: str, path: str) -> None:
    assert status(harness, method, path, Host="evil.example.com:8090") == 403
    assert status(harness, method, f"/model/local{path}", Host="evil.example.com:8090") == 403
    assert status(harness, method, path, Origin="https://evil.example.com") == 403
    assert status(harness, method, path) != 403


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("prefix", ["", "/model/local"])
def test_a_models_own_host_is_no_way_to_what_is_the_harnesses(
    harness: Harness, method: str, path: str, prefix: str
) -> None:
    assert status(harness, method, prefix + path, Host="model-local.evil.example.com") == 403
    assert status(harness, method, prefix + path, Host="model-local.localhost:8090") != 403


@pytest.mark.parametrize(("method", "path"), OF_THE_PLATFORM)
def test_a_models_own_host_is_of_any_domain_for_programs(harness: Harness, method: str, path: str) -> None:
    host = "model-local.example.com"
    assert status(harness, method, path, Host=host) != 403
    assert status(harness, method, path, Host=host, Origin=f"http://{host}") == 403


def test_what_is_allowed_and_what_needs_a_key_passes(serve: Callable[..., Harness]) -> None:
    allowing = serve(allow_hosts=("*.example.com",))
    assert (
        status(allowing, "GET", "/_harness/secrets", **REBOUND, Origin="http://evil.example.com:8090") == 200
    )
    allowing.close()
    keyed = serve(api_key="k")
    assert status(keyed, "GET", "/_harness/secrets", **REBOUND) == 401
    assert status(keyed, "GET", "/_harness/secrets", **REBOUND, Authorization="Api-Key k") == 200
