"""What charts show of the time between two readings of the metrics."""

import pytest

from truss_async.page.measures import between, read


def exposition(*, slow: int, fast: int, failed: int = 0) -> str:
    name = "baseten_end_to_end_response_time_seconds_bucket"
    return (
        "# HELP baseten_async_queue_size Async requests that wait.\n"
        'baseten_async_queue_size{deployment_id="a"} 3.0\nbaseten_async_queue_size{deployment_id="b"} 4.0\n'
        f'baseten_inference_requests_total{{deployment_id="a",status="200"}} {slow + fast}\n'
        f'baseten_inference_requests_total{{deployment_id="a",status="500"}} {failed}\n'
        f'{name}{{deployment_id="a, \\"b\\"",le="0.1"}} {fast}\n'
        f'{name}{{deployment_id="a",le="1.0"}} {fast + slow}\n{name}{{deployment_id="a",le="+Inf"}} {fast + slow}\n'
    )


def test_rates_and_quantiles_are_of_what_came_in_between() -> None:
    before, after = read(exposition(slow=0, fast=50)), read(exposition(slow=10, fast=60, failed=4))
    point = between(before, after, at=7.0, seconds=2)
    assert (point.at, point.succeeded, point.failed, point.queue_size) == (7.0, 10.0, 2.0, 7.0)
    assert point.response_p50 == pytest.approx(0.1)
    assert point.response_p99 == pytest.approx(0.982)


def test_where_nothing_happened_nothing_is_measured_and_beyond_the_last_bound_is_told_as_that() -> None:
    reading = read(exposition(slow=1, fast=1))
    quiet = between(reading, reading, at=0, seconds=1)
    assert (quiet.succeeded, quiet.response_p50, quiet.webhook_p99) == (0.0, None, None)
    endless = read(
        'baseten_time_in_async_queue_seconds_bucket{le="5"} 0\nbaseten_time_in_async_queue_seconds_bucket{le="+Inf"} 1\n'
    )
    assert between(read(""), endless, at=0, seconds=1).queued_p50 == 5.0
