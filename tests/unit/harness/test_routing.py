import pytest

from truss_async.harness.api.refusals import CallRefusedError
from truss_async.harness.api.routing import Call, Operation, Target, TargetKind, find_call

PRODUCTION = Target(TargetKind.ENVIRONMENT, "production")


@pytest.mark.parametrize(
    ("method", "path", "call"),
    [
        ("POST", "/production/async_predict", Call(Operation.ASYNC_PREDICT, target=PRODUCTION)),
        ("POST", "/environments/production/async_predict", Call(Operation.ASYNC_PREDICT, target=PRODUCTION)),
        ("POST", "/production/predict", Call(Operation.PREDICT, target=PRODUCTION)),
        (
            "POST",
            "/development/predict",
            Call(Operation.PREDICT, target=Target(TargetKind.ENVIRONMENT, "development")),
        ),
        (
            "POST",
            "/environments/staging/predict",
            Call(Operation.PREDICT, target=Target(TargetKind.ENVIRONMENT, "staging")),
        ),
        (
            "POST",
            "/deployment/abc/async_predict",
            Call(Operation.ASYNC_PREDICT, target=Target(TargetKind.DEPLOYMENT, "abc")),
        ),
        ("POST", "/async_predict", Call(Operation.ASYNC_PREDICT)),
        ("POST", "/predict", Call(Operation.PREDICT)),
        ("GET", "/async_request/f00", Call(Operation.STATUS, request_id="f00")),
        ("DELETE", "/async_request/f00", Call(Operation.CANCEL, request_id="f00")),
        ("GET", "/production/async_queue_status", Call(Operation.QUEUE_STATUS, target=PRODUCTION)),
        ("POST", "/production/wake", Call(Operation.WAKE, target=PRODUCTION)),
        ("GET", "/healthz", Call(Operation.HEALTH)),
        ("GET", "/_harness/requests/f00", Call(Operation.REQUEST_RECORD, request_id="f00")),
        ("GET", "/_harness/deliveries", Call(Operation.OWN, own_path=("deliveries",))),
        ("POST", "/_harness/secrets/f00/rotate", Call(Operation.OWN, own_path=("secrets", "f00", "rotate"))),
        ("POST", "/model/m1/production/predict", Call(Operation.PREDICT, model_id="m1", target=PRODUCTION)),
        ("GET", "/model/m1/async_request/f00", Call(Operation.STATUS, model_id="m1", request_id="f00")),
    ],
)
def test_a_path_names_a_call(method: str, path: str, call: Call) -> None:
    assert find_call(method, "127.0.0.1:8090", path) == call


@pytest.mark.parametrize(
    "host", ["model-m1.api.baseten.co", "model-m1.localhost:8090", "model-m1.example.org"]
)
def test_a_host_names_the_model(host: str) -> None:
    assert find_call("POST", host, "/production/predict").model_id == "m1"


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
