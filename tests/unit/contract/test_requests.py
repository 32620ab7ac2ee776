from typing import Any

import pytest
from pydantic import ValidationError

from truss_async.contract import AsyncPredictRequest


def test_the_defaults_are_the_platforms() -> None:
    request = AsyncPredictRequest.model_validate({"model_input": {"a": 1}})
    assert request.model_dump() == {
        "model_input": {"a": 1},
        "webhook_endpoint": None,
        "priority": 0,
        "max_time_in_queue_seconds": 600,
        "inference_retry_config": {"max_attempts": 3, "initial_delay_ms": 1000, "max_delay_ms": 5000},
    }


@pytest.mark.parametrize("model_input", [None, 0, "", [], {}, "text", [1, {"a": None}], 1.5, False])
def test_any_json_is_a_model_input(model_input: Any) -> None:
    assert AsyncPredictRequest.model_validate({"model_input": model_input}).model_input == model_input


@pytest.mark.parametrize(
    ("field", "allowed"),
    [
        ("priority", [0, 1, 2]),
        ("max_time_in_queue_seconds", [10, 600, 259200]),
        ("webhook_endpoint", ["https://example.com/x?y=1", "http://localhost:1/x", "http://127.0.0.1", "http://[::1]:8/",
                              "http://hooks.localhost/", None]),
        ("inference_retry_config", [None, {}, {"max_attempts": 1}, {"max_attempts": 10}, {"initial_delay_ms": 0},
                                    {"initial_delay_ms": 10000}, {"max_delay_ms": 0}, {"max_delay_ms": 60000}]),
        ("no_such_field", [1]),
    ],
)  # fmt: skip
def test_what_the_platform_allows_is_allowed(field: str, allowed: list[Any]) -> None:
    for value in allowed:
        AsyncPredictRequest.model_validate({"model_input": 1, field: value})


@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ("priority", [-1, 3, 7, 1.5, "1", True, None]),
        ("max_time_in_queue_seconds", [9, 259201, 0, -1, "600"]),
        ("webhook_endpoint", ["http://example.com/", "ftp://localhost/", "example.com", "https://", "https://a b/", 7,
                              "http://localhost.example.com/", "http://128.0.0.1/", "https://[::1", "https://h:99999/"]),
        ("inference_retry_config", [{"max_attempts": 0}, {"max_attempts": 11}, {"initial_delay_ms": -1},
                                    {"initial_delay_ms": 10001}, {"max_delay_ms": 60001}, 5]),
    ],
)  # fmt: skip
def test_what_the_platform_refuses_is_refused(field: str, refused: list[Any]) -> None:
    for value in refused:
        with pytest.raises(ValidationError):
            AsyncPredictRequest.model_validate({"model_input": 1, field: value})


def test_the_model_input_is_required() -> None:
    with pytest.raises(ValidationError, match="model_input"):
        AsyncPredictRequest.model_validate({"priority": 1})
