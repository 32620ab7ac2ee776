"""The URL of a model, given as that of an endpoint."""

import pytest

from truss_async.client.calls import model_and_target
from truss_async.errors import SettingsError

MODEL = "https://model-x.api.baseten.co"
HERE = "http://127.0.0.1:8090"


@pytest.mark.parametrize(
    ("url", "model", "target", "is_chain"),
    [
        (MODEL, MODEL, "production", False),
        (f"{MODEL}/", MODEL, "production", False),
        (f"{MODEL}/production/async_predict", MODEL, "production", False),
        (f"{MODEL}/environments/production/predict", MODEL, "environments/production", False),
        (f"{MODEL}/deployment/abc123/async_predict/", MODEL, "deployment/abc123", False),
        (f"{MODEL}/development", MODEL, "development", False),
        (
            "https://model-x-staging.api.baseten.co/predict",
            "https://model-x-staging.api.baseten.co",
            "",
            False,
        ),
        (f"{HERE}/production/async_predict", HERE, "production", False),
        (f"{HERE}/model/hello/production/wake", f"{HERE}/model/hello", "production", False),
        (f"{HERE}/chain/c/production/async_run_remote", f"{HERE}/chain/c", "production", True),
        (
            "https://chain-c.api.baseten.co/production/run_remote",
            "https://chain-c.api.baseten.co",
            "production",
            True,
        ),
        ("http://production", "http://production", "production", False),
    ],
)
def test_it_says_the_model_and_the_target(url: str, model: str, target: str, is_chain: bool) -> None:
    found, named = model_and_target(url)
    assert (found, named.name, named.is_chain) == (model, target, is_chain)


def test_another_target_than_the_one_that_is_given_is_refused() -> None:
    assert model_and_target(f"{MODEL}/development/predict", target="development")[1].name == "development"
    with pytest.raises(SettingsError, match="contains another target than 'deployment/x'"):
        model_and_target(f"{MODEL}/development/predict", target="deployment/x")
