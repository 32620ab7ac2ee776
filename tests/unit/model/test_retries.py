from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from azure.core.exceptions import HttpResponseError
from botocore.exceptions import ClientError, EndpointConnectionError
from google.api_core import exceptions as google_exceptions
from hypothesis import given
from hypothesis import strategies as st

from truss_async.errors import ObjectExistsError, OutputStoreError, UnsafeObjectKeyError
from truss_async.model.retries import RetryPolicy, retry_delay, worth_retrying

if TYPE_CHECKING:
    from botocore.exceptions import _ClientErrorResponseTypeDef

GOOGLE: Any = google_exceptions
POLICY = RetryPolicy(timeout_seconds=30)


def test_the_full_wait_doubles_up_to_a_limit() -> None:
    waits = [retry_delay(POLICY, attempts_made=made, elapsed_seconds=0, jitter=1) for made in range(1, 8)]
    assert waits == [0.2, 0.4, 0.8, 1.6, 3.2, 5, 5]


@pytest.mark.parametrize(
    ("elapsed", "jitter", "delay"),
    [
        (0, 0, 0),
        (0, 0.5, 0.1),
        (29, 1, 0.2),
        (29.9, 1, None),
        (29.9, 0.1, 0.02),
        (30, 0, None),
        (99, 0, None),
    ],
)
def test_no_attempt_starts_after_the_time_is_up(elapsed: float, jitter: float, delay: float | None) -> None:
    found = retry_delay(POLICY, attempts_made=1, elapsed_seconds=elapsed, jitter=jitter)
    assert found == (None if delay is None else pytest.approx(delay))


@given(st.integers(1, 10**6), st.floats(0, 40), st.floats(0, 1))
def test_a_wait_is_never_longer_than_what_is_left(made: int, elapsed: float, jitter: float) -> None:
    delay = retry_delay(POLICY, attempts_made=made, elapsed_seconds=elapsed, jitter=jitter)
    assert delay is None or (0 <= delay <= 5 and elapsed + delay < 30)


def s3_error(status: int) -> ClientError:
    response: _ClientErrorResponseTypeDef = {
        "Error": {"Code": "x"},
        "ResponseMetadata": {
            "HTTPStatusCode": status,
            "RequestId": "",
            "HostId": "",
            "HTTPHeaders": {},
            "RetryAttempts": 0,
        },
    }
    return ClientError(response, "PutObject")


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (None, True),
        (EndpointConnectionError(endpoint_url="http://x"), True),
        (s3_error(503), True),
        (s3_error(429), True),
        (s3_error(403), False),
        (s3_error(404), False),
        (s3_error(409), True),
        (HttpResponseError(response=SimpleNamespace(status_code=503, reason="")), True),
        (HttpResponseError(response=SimpleNamespace(status_code=403, reason="")), False),
        (GOOGLE.ServiceUnavailable("x"), True),
        (GOOGLE.Forbidden("x"), False),
        (OSError(errno.ENOSPC, "full"), True),
        (OSError(errno.EACCES, "no right"), False),
    ],
)
def test_what_does_not_pass_by_itself_is_not_retried(cause: Exception | None, expected: bool) -> None:
    error = OutputStoreError("x")
    error.__cause__ = cause
    assert worth_retrying(error) is expected


def test_a_key_that_is_refused_stays_so() -> None:
    assert not worth_retrying(UnsafeObjectKeyError("x"))
    assert not worth_retrying(ObjectExistsError("x"))
