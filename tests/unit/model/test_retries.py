from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truss_async.model.retries import RetryPolicy, retry_delay

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
