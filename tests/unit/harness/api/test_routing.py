import contextlib
import gc
import tracemalloc

import pytest

from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.api.routing import find_call
from truss_async.harness.api.targets import Kind, Named, Served, Target

MODEL, CHAIN = Kind.MODEL, Kind.CHAIN
M1, C1 = Served(MODEL, "m1"), Served(CHAIN, "c1")
PRODUCTION, STAGING, DEVELOPMENT = (
    Target("environment", name) for name in ("production", "staging", "development")
)
ABC = Target("deployment", "abc")
F00 = {"request_id": "f00"}


@pytest.mark.parametrize(
    ("method", "path", "handler", "named", "values"),
    [
        ("POST", "/production/async_predict", "submit", Named(None, PRODUCTION, MODEL), {}),
        ("POST", "/environments/production/async_predict", "submit", Named(None, PRODUCTION, MODEL), {}),
        ("POST", "/production/predict", "predict", Named(None, PRODUCTION, MODEL), {}),
        ("POST", "/development/predict", "predict", Named(None, DEVELOPMENT, MODEL), {}),
        ("POST", "/environments/staging/predict", "predict", Named(None, STAGING, MODEL), {}),
        ("POST", "/environments/st%61ging/predict", "predict", Named(None, STAGING, MODEL), {}),
        ("POST", "/deployment/abc/async_predict", "submit", Named(None, ABC, MODEL), {}),
        ("POST", "/async_predict", "submit", Named(words=MODEL), {}),
        ("POST", "/predict", "predict", Named(words=MODEL), {}),
        ("POST", "/run_remote", "predict", Named(words=CHAIN), {}),
        ("POST", "/production/async_run_remote", "submit", Named(None, PRODUCTION, CHAIN), {}),
        ("GET", "/async_request/f00", "status", Named(), F00),
        ("DELETE", "/async_request/f00", "cancel", Named(), F00),
        ("GET", "/production/async_queue_status", "queue_status", Named(None, PRODUCTION), {}),
        ("POST", "/production/wake", "wake", Named(None, PRODUCTION), {}),
        ("GET", "/healthz", "health", Named(), {}),
        ("HEAD", "/metrics", "metrics", Named(), {}),
        ("GET", "/_harness/requests/f00", "request_record", Named(), F00),
        ("GET", "/_harness/deliveries", "deliveries", Named(), {}),
        ("POST", "/_harness/secrets/f%2F00/rotate", "rotate_secret", Named(), {"secret_id": "f/00"}),
        ("POST", "/model/m1/production/predict", "predict", Named(M1, PRODUCTION, MODEL), {}),
        ("GET", "/model/m1/async_request/f00", "status", Named(M1), F00),
        ("POST", "/chain/c1/production/run_remote", "predict", Named(C1, PRODUCTION, CHAIN), {}),
        ("POST", "/chain/c1/deployment/abc/chainlet/x/run_remote", "predict", Named(C1, ABC, CHAIN, "x"), {}),
        ("POST", "/deployment/abc/chainlet/x/async_run_remote", "submit", Named(None, ABC, CHAIN, "x"), {}),
        ("POST", "/production/chainlet/x/run_remote", "predict", Named(None, PRODUCTION, CHAIN, "x"), {}),
        ("GET", "/deployment/abc/chainlet/x/sync/v1", "route", Named(None, ABC, None, "x"), {"route": "v1"}),
        ("PATCH", "/sync/v1/x", "route", Named(), {"route": "v1/x"}),
        ("GET", "/production/sync/a%2Fb//c", "route", Named(None, PRODUCTION), {"route": "a%2Fb//c"}),
        ("GET", "/deployment/abc/sync/sync/x", "route", Named(None, ABC), {"route": "sync/x"}),
        ("GET", "/model/m1/sync/", "route", Named(M1), {"route": ""}),
    ],
)
def test_a_path_names_a_call(
    method: str, path: str, handler: str, named: Named, values: dict[str, str]
) -> None:
    call = find_call(method, "127.0.0.1:8090", path)
    assert (call.operation.handler.__name__, call.named, call.values) == (handler, named, values)


@pytest.mark.parametrize("rest", ["api.baseten.co", "localhost:8090", "example.org"])
def test_a_host_names_the_model_or_the_chain(rest: str) -> None:
    assert find_call("POST", f"model-m1.{rest}", "/production/predict").named.served == M1
    assert find_call("POST", f"chain-c1.{rest}", "/production/run_remote").named.served == C1


@pytest.mark.parametrize("environment", ["staging", "eu-west_1"])
def test_a_regional_host_names_the_environment_too(environment: str) -> None:
    call = find_call("POST", f"chain-c1-{environment}.api.baseten.co", "/run_remote")
    assert call.named == Named(C1, Target("environment", environment), CHAIN)
    call = find_call("GET", f"model-m1-{environment}.api.baseten.co", "/sync/v1/models")
    assert (call.named.target.name, call.values) == (environment, {"route": "v1/models"})


def test_a_regional_host_and_the_path_name_a_chainlet() -> None:
    call = find_call("POST", "chain-c1-staging.api.baseten.co", "/chainlet/x/run_remote")
    assert call.named == Named(C1, STAGING, CHAIN, "x")


@pytest.mark.parametrize("target", ["production", "development", "environments/staging", "deployment/abc"])
def test_a_path_with_a_target_is_refused_on_a_regional_host(target: str) -> None:
    with pytest.raises(CallRefusedError, match="names the environment staging; there the path is /predict"):
        find_call("POST", "model-m1-staging.api.baseten.co", f"/{target}/predict")


def test_status_is_asked_on_a_regional_host_as_everywhere() -> None:
    call = find_call("GET", "model-m1-staging.api.baseten.co", "/async_request/f00")
    assert (call.operation.handler.__name__, call.named.served, call.values) == ("status", M1, F00)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "/nothing",
        "/production",
        "/production/predict/more",
        "/environments/predict",
        "/async_request/a/b",
        "/production/sync",
        "/sync",
        "/deployment/abc/chainlet/run_remote",
        "/deployment/abc/chainlet/x",
    ],
)
def test_an_unknown_path_is_refused_with_404(path: str) -> None:
    with pytest.raises(CallRefusedError) as caught:
        find_call("POST", "localhost", path)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/production/async_predict", "POST"),
        ("POST", "/async_request/f00", "GET, DELETE"),
        ("DELETE", "/healthz", "GET"),
    ],
)
def test_a_wrong_method_is_refused_and_told_the_right_one(method: str, path: str, allowed: str) -> None:
    with pytest.raises(CallRefusedError) as caught:
        find_call(method, "localhost", path)
    assert (caught.value.status_code, caught.value.headers) == (405, {"Allow": allowed})


def test_nothing_that_a_caller_writes_is_kept() -> None:
    """Neither a host nor a path nor a method is a key of a cache, whatever its length."""

    def meet(number: int) -> None:
        host = f"model-m{number}.{'h' * 5000}"
        calls = [
            ("GET", f"/async_request/{number}"),
            (f"M{number}", "/healthz"),
            ("GET", f"/_harness/{number}"),
        ]
        for at in (host, f"{number}.org"):
            for method, path in calls:
                with contextlib.suppress(CallRefusedError):
                    find_call(method, at, path)

    meet(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, 500):
            meet(number)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 100_000
    finally:
        tracemalloc.stop()
