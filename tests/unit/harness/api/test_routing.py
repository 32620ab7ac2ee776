import pytest

from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.api.routing import Call, Kind, Operation, Served, Target, TargetKind, find_call

MODEL, CHAIN = Kind.MODEL, Kind.CHAIN
M1, C1 = Served(MODEL, "m1"), Served(CHAIN, "c1")
PRODUCTION = Target(TargetKind.ENVIRONMENT, "production")


STAGING = Target(TargetKind.ENVIRONMENT, "staging")
DEVELOPMENT = Target(TargetKind.ENVIRONMENT, "development")
ABC = Target(TargetKind.DEPLOYMENT, "abc")


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/production/async_predict", Call(Operation.ASYNC_PREDICT, target=PRODUCTION, words=MODEL)),
        (
            "POST",
            "/environments/production/async_predict",
            Call(Operation.ASYNC_PREDICT, target=PRODUCTION, words=MODEL),
        ),
        ("POST", "/production/predict", Call(Operation.PREDICT, target=PRODUCTION, words=MODEL)),
        ("POST", "/development/predict", Call(Operation.PREDICT, target=DEVELOPMENT, words=MODEL)),
        ("POST", "/environments/staging/predict", Call(Operation.PREDICT, target=STAGING, words=MODEL)),
        ("POST", "/environments/st%61ging/predict", Call(Operation.PREDICT, target=STAGING, words=MODEL)),
        ("POST", "/deployment/abc/async_predict", Call(Operation.ASYNC_PREDICT, target=ABC, words=MODEL)),
        ("POST", "/async_predict", Call(Operation.ASYNC_PREDICT, words=MODEL)),
        ("POST", "/predict", Call(Operation.PREDICT, words=MODEL)),
        ("POST", "/run_remote", Call(Operation.PREDICT, words=CHAIN)),
        (
            "POST",
            "/production/async_run_remote",
            Call(Operation.ASYNC_PREDICT, target=PRODUCTION, words=CHAIN),
        ),
        ("GET", "/async_request/f00", Call(Operation.STATUS, request_id="f00")),
        ("DELETE", "/async_request/f00", Call(Operation.CANCEL, request_id="f00")),
        ("GET", "/production/async_queue_status", Call(Operation.QUEUE_STATUS, target=PRODUCTION)),
        ("POST", "/production/wake", Call(Operation.WAKE, target=PRODUCTION)),
        ("GET", "/healthz", Call(Operation.HEALTH)),
        ("GET", "/_harness/requests/f00", Call(Operation.REQUEST_RECORD, request_id="f00")),
        ("GET", "/_harness/deliveries", Call(Operation.OWN, own_path=("deliveries",))),
        ("POST", "/_harness/secrets/f00/rotate", Call(Operation.OWN, own_path=("secrets", "f00", "rotate"))),
        (
            "POST",
            "/model/m1/production/predict",
            Call(Operation.PREDICT, served=M1, target=PRODUCTION, words=MODEL),
        ),
        ("GET", "/model/m1/async_request/f00", Call(Operation.STATUS, served=M1, request_id="f00")),
        (
            "POST",
            "/chain/c1/production/run_remote",
            Call(Operation.PREDICT, served=C1, target=PRODUCTION, words=CHAIN),
        ),
        ("PATCH", "/sync/v1/x", Call(Operation.ROUTE, route="v1/x")),
        ("GET", "/production/sync/a%2Fb//c", Call(Operation.ROUTE, target=PRODUCTION, route="a%2Fb//c")),
        ("GET", "/deployment/abc/sync/sync/x", Call(Operation.ROUTE, target=ABC, route="sync/x")),
        ("GET", "/model/m1/sync/", Call(Operation.ROUTE, served=M1, route="")),
    ],
)
def test_a_path_names_a_call(method: str, path: str, call: Call) -> None:
    assert find_call(method, "127.0.0.1:8090", path) == call


@pytest.mark.parametrize("rest", ["api.baseten.co", "localhost:8090", "example.org"])
def test_a_host_names_the_model_or_the_chain(rest: str) -> None:
    assert find_call("POST", f"model-m1.{rest}", "/production/predict").served == M1
    assert find_call("POST", f"chain-c1.{rest}", "/production/run_remote").served == C1


@pytest.mark.parametrize("environment", ["staging", "eu-west_1"])
def test_a_regional_host_names_the_environment_too(environment: str) -> None:
    call = find_call("POST", f"chain-c1-{environment}.api.baseten.co", "/run_remote")
    assert (call.served, call.target) == (C1, Target(TargetKind.ENVIRONMENT, environment))
    call = find_call("GET", f"model-m1-{environment}.api.baseten.co", "/sync/v1/models")
    assert (call.target.name, call.route) == (environment, "v1/models")


@pytest.mark.parametrize("target", ["production", "development", "environments/staging", "deployment/abc"])
def test_a_path_with_a_target_is_refused_on_a_regional_host(target: str) -> None:
    with pytest.raises(CallRefusedError, match="names the environment staging; there the path is /predict"):
        find_call("POST", "model-m1-staging.api.baseten.co", f"/{target}/predict")


def test_status_is_asked_on_a_regional_host_as_everywhere() -> None:
    call = find_call("GET", "model-m1-staging.api.baseten.co", "/async_request/f00")
    assert call == Call(Operation.STATUS, served=M1, request_id="f00")


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
