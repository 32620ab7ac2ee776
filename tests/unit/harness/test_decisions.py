import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.contract import InferenceRetryConfig, limits
from truss_async.harness.decisions import (
    Busy,
    DeliveryPolicy,
    Failed,
    ModelAnswer,
    Succeeded,
    canonical_json,
    is_delivered,
    judge_answer,
    next_delivery_delay,
    next_inference_delay,
    next_sync_delay,
)


def answer(status: int, body: bytes = b"", **headers: str) -> ModelAnswer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ModelAnswer(status, {"content-type": "application/json", **named}, body)


@pytest.mark.parametrize(
    ("made", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 5), (5, 5), (9, 5)], ids=lambda value: str(value)
)
def test_inference_backoff_doubles_up_to_the_maximum(made: int, seconds: int) -> None:
    config = InferenceRetryConfig(max_attempts=10)
    assert next_inference_delay(config, attempts_made=made) == timedelta(seconds=seconds)


def test_no_attempt_follows_the_last_one() -> None:
    assert next_inference_delay(InferenceRetryConfig(max_attempts=3), attempts_made=3) is None
    assert next_inference_delay(InferenceRetryConfig(max_attempts=1), attempts_made=1) is None


def test_a_delay_of_zero_stays_zero() -> None:
    config = InferenceRetryConfig(max_attempts=10, initial_delay_ms=0)
    assert next_inference_delay(config, attempts_made=9) == timedelta()


@pytest.mark.parametrize(
    ("made", "elapsed", "is_unreachable", "seconds"),
    [
        (1, 0, False, 0.5),
        (2, 0.5, False, 0.75),
        (3, 1.25, False, 1.125),
        (12, 300, False, 0.5 * 1.5**11),
        (13, 300, False, 60),
        (99, 840, False, 60),
        (99, 840.1, False, None),
        (1, 899.5, False, 0.5),
        (1, 1200, False, None),
        (15, 500, True, 60),
        (16, 500, True, None),
        (15, 900, True, None),
    ],
)
def test_a_sync_call_is_repeated_after_half_a_second_times_1_5_for_15_minutes_and_16_times_when_unreachable(
    made: int, elapsed: float, is_unreachable: bool, seconds: float | None
) -> None:
    delay = next_sync_delay(attempts_made=made, elapsed_seconds=elapsed, is_unreachable=is_unreachable)
    assert delay == seconds


@pytest.mark.parametrize(
    ("status", "body", "headers", "code", "is_retryable"),
    [
        (
            400,
            b'{"error":"Invalid JSON payload"}',
            {"x_baseten_error_code": "700"},
            "MODEL_INVALID_INPUT",
            False,
        ),
        (400, b'{"error":"warming up"}', {"x_baseten_error_code": "600"}, "MODEL_NOT_READY", True),
        (400, b"", {}, "MODEL_NOT_READY", True),
        (503, b'{"error":"Model with name model is not ready."}', {}, "MODEL_NOT_READY", True),
        (404, b"", {}, "MODEL_DOES_NOT_EXIST", False),
        (422, b"", {}, "MODEL_INVALID_INPUT", False),
        (500, b'{"error":"Internal Server Error"}', {}, "MODEL_PREDICT_ERROR", True),
        (502, b"", {}, "MODEL_UNAVAILABLE", True),
        (503, b"", {}, "MODEL_UNAVAILABLE", True),
        (504, b"", {}, "MODEL_PREDICT_TIMEOUT", True),
        (403, b"", {}, "MODEL_PREDICT_ERROR", False),
        (300, b"", {}, "MODEL_PREDICT_ERROR", False),
        (302, b"", {}, "MODEL_PREDICT_ERROR", False),
    ],
)
def test_a_failure_gets_the_platforms_error_code(
    status: int, body: bytes, headers: dict[str, str], code: str, is_retryable: bool
) -> None:
    outcome = judge_answer(answer(status, body, **headers))
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.is_retryable) == (code, is_retryable)


def test_the_models_own_error_message_is_kept() -> None:
    outcome = judge_answer(answer(500, b'{"error": "out of memory"}'))
    assert isinstance(outcome, Failed)
    assert outcome.error.message == "out of memory"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"error": {"exception_cls_name": "ValueError", "exception_message": "no page 7"}},
            "ValueError: no page 7",
        ),
        ({"error": {"message": "half \ud83d"}}, "half \ufffd"),
        ({"page": 7}, 'the model answered 422: {"page":7}'),
        ([1], "the model answered 422: [1]"),
        ("no page 7", "the model answered 422: no page 7"),
        ({"error": None}, "the model answered 422"),
        ({"error": "", "detail": []}, "the model answered 422"),
        ({}, "the model answered 422"),
        (None, "the model answered 422"),
    ],
)
def test_whatever_json_a_model_fails_with_is_told(body: object, message: str) -> None:
    assert message_of(answer(422, json.dumps(body).encode())) == message


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (
            b"CUDA out of memory\n\x1b[31m",
            "text/plain; charset=utf-8",
            "the model answered 500: CUDA out of memory \\u001b[31m",
        ),
        (b"\xff", "text/plain", "the model answered 500: \ufffd"),
        (b" \n", "text/plain", "the model answered 500"),
        (b"<html>Oops</html>", "text/html", "the model answered 500"),
        (b"{cut", "application/json", "the model answered 500"),
    ],
)
def test_a_text_that_a_model_fails_with_is_told_and_a_page_for_browsers_is_not(
    body: bytes, content_type: str, message: str
) -> None:
    assert message_of(answer(500, body, **{"content-type": content_type})) == message


def message_of(failed: ModelAnswer) -> str:
    outcome = judge_answer(failed)
    assert isinstance(outcome, Failed)
    return outcome.error.message


@pytest.mark.parametrize("depth", [200, 255, 600, 1500, 10_000])
def test_an_output_of_any_depth_that_a_receiver_reads_is_carried(depth: int) -> None:
    body = b"[" * depth + b"1 , NaN" + b"]" * depth
    assert judge_answer(answer(200, body)) == Succeeded(b"[" * depth + b"1,null" + b"]" * depth)


def test_429_counts_no_attempt() -> None:
    assert judge_answer(answer(429)) == Busy()


def test_a_streaming_answer_is_not_supported() -> None:
    outcome = judge_answer(ModelAnswer(200, {}, b"", is_stream=True))
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.is_retryable) == ("ASYNC_REQUEST_NOT_SUPPORTED", False)


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        (b'{"a": 1, "b": [true, null]}', "application/json", b'{"a":1,"b":[true,null]}'),
        (b'{"n": NaN, "i": -Infinity}', "application/json", b'{"n":null,"i":null}'),
        (b'"lone \\ud800 surrogate"', "application/json", '"lone � surrogate"'.encode()),
        (
            b"12345678901234567890123456789",
            "application/json; charset=utf-8",
            b"12345678901234567890123456789",
        ),
        ("plain Ünicode".encode(), "text/plain", '"plain Ünicode"'.encode()),
        (b"", "application/json", b"null"),
        (b'{"a": 1}', "application/geo+json", b'{"a":1}'),
        (b'{"a": 1}', "Application/JSON", b'{"a":1}'),
    ],
)
def test_an_output_becomes_the_json_that_a_webhook_carries(
    body: bytes, content_type: str, data: bytes
) -> None:
    assert judge_answer(answer(200, body, content_type=content_type)) == Succeeded(data)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[" * 10_001 + b"]" * 10_001, "application/json"),
        (b"[" * 100_000 + b"]" * 100_000, "application/json"),
        (b'{"cut', "application/json"),
        (b"\xff\xfe", "text/plain"),
        (b"\x89PNG", "image/png"),
    ],
)
def test_an_output_that_is_no_json_fails_for_good(body: bytes, content_type: str) -> None:
    outcome = judge_answer(answer(200, body, content_type=content_type))
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.is_retryable) == ("MODEL_PREDICT_ERROR", False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_canonical_json_says_the_same(value: object) -> None:
    assert json.loads(canonical_json(json.dumps(value).encode())) == value


@pytest.mark.parametrize(
    ("status_code", "made", "seconds"),
    [
        (200, 1, None),
        (204, 1, None),
        (500, 1, 2),
        (502, 1, 2),
        (503, 1, 2),
        (504, 1, 2),
        (None, 1, 2),
        (500, 2, None),
        (None, 2, None),
        (501, 1, None),
        (404, 1, None),
        (429, 1, None),
        (301, 1, None),
    ],
)
def test_delivery_is_retried_once_on_the_platforms_codes(
    status_code: int | None, made: int, seconds: int | None
) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    assert next_delivery_delay(DeliveryPolicy(), attempts_made=made, status_code=status_code) == expected


@pytest.mark.parametrize(
    ("status_code", "made", "seconds"),
    [(503, 1, 1), (503, 2, 4), (503, 3, None), (None, 1, 1), (404, 1, None), (200, 2, None)],
)
def test_the_older_schedule_has_three_attempts(
    status_code: int | None, made: int, seconds: int | None
) -> None:
    expected = None if seconds is None else timedelta(seconds=seconds)
    policy = DeliveryPolicy(limits.DELIVERY_SCHEDULES["older"])
    assert next_delivery_delay(policy, attempts_made=made, status_code=status_code) == expected


def test_only_a_2xx_acknowledges() -> None:
    assert [code for code in (None, 199, 200, 299, 300, 404) if is_delivered(code)] == [200, 299]
