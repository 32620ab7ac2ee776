"""Hosts, path prefixes and words: what a call may name, and by what it is refused."""

from collections.abc import Callable

import httpx
import pytest

from truss_async.harness.harness import Harness


def call(harness: Harness, path: str, host: str | None = None) -> httpx.Response:
    headers = {"Authorization": "Api-Key any", **({"Host": host} if host else {})}
    body = {"model_input": 1} if path.rpartition("/")[2].startswith("async_") else {}
    return httpx.post(f"{harness.url}{path}", json=body, headers=headers)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("model-local.api.baseten.co", "/production/async_predict"),
        ("model-local.localhost", "/production/async_predict"),
        ("model-local-production.api.baseten.co", "/async_predict"),
        ("model-local-development.localhost", "/predict"),
        (None, "/model/local/production/async_predict"),
    ],
)
def test_a_model_is_called_by_its_hosts_and_its_prefix(harness: Harness, host: str | None, path: str) -> None:
    assert call(harness, path, host).is_success


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("chain-c1.api.baseten.co", "/production/async_run_remote"),
        ("chain-c1-production.api.baseten.co", "/async_run_remote"),
        ("chain-c1.localhost", "/development/run_remote"),
        (None, "/chain/c1/production/run_remote"),
    ],
)
def test_a_chain_is_called_by_its_hosts_and_its_prefix(
    serve: Callable[..., Harness], host: str | None, path: str
) -> None:
    assert call(serve(chain_id="c1"), path, host).is_success


@pytest.mark.parametrize(
    ("host", "path", "message"),
    [
        (
            "model-other.api.baseten.co",
            "/production/predict",
            "unknown model other; this harness serves the model local",
        ),
        ("chain-local.api.baseten.co", "/production/run_remote", "unknown chain local"),
        ("model-local-staging.api.baseten.co", "/predict", "no environment staging of this model"),
        ("model-local-production.api.baseten.co", "/production/predict", "there the path is /predict"),
        (
            "model-local.localhost",
            "/production/run_remote",
            "the model local is called by predict and async_predict",
        ),
        (None, "/production/chainlet/x/sync/y", "the model local has no chainlets: only a chain has"),
        (None, "/production/async_run_remote", "the model local is called by predict and async_predict"),
    ],
)
def test_what_the_platform_would_not_find_is_404_and_told_why(
    harness: Harness, host: str | None, path: str, message: str
) -> None:
    answer = call(harness, path, host)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "model_does_not_exist")
    assert message in answer.json()["error"]


def test_a_chain_has_no_predict(serve: Callable[..., Harness]) -> None:
    answer = call(serve(chain_id="c1"), "/production/predict")
    assert answer.status_code == 404
    assert answer.json()["error"] == "the chain c1 is called by run_remote and async_run_remote"
