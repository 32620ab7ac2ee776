from datetime import datetime, timedelta, timezone

import pytest

from truss_async.replicas.scaling import Scale, ScaleLimits, desired_replicas, rescale

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("requests", "concurrency", "minimum", "maximum", "desired"),
    [
        (0, 1, 0, 3, 0),
        (0, 1, 2, 3, 2),
        (1, 1, 0, 3, 1),
        (1, 8, 0, 3, 1),
        (8, 8, 0, 3, 1),
        (9, 8, 0, 3, 2),
        (9, 8, 3, 3, 3),
        (50_000, 8, 0, 3, 3),
    ],
)
def test_replicas_are_enough_for_the_requests_within_the_limits(
    requests: int, concurrency: int, minimum: int, maximum: int, desired: int
) -> None:
    limits = ScaleLimits(minimum, maximum, delay_seconds=60)
    assert desired_replicas(requests, concurrency=concurrency, limits=limits) == desired


@pytest.mark.parametrize(
    ("seen", "targets"),
    [
        ([(0, 1), (1, 3), (2, 2)], [1, 3, 3]),  # more at once, fewer not
        ([(0, 0), (59, 0), (60, 0)], [1, 1, 0]),
        (
            [(0, 0), (59, 1), (60, 0), (119, 0), (120, 0)],
            [1, 1, 1, 1, 0],
        ),  # whoever comes sets the delay back
        ([(0, 3), (10, 0), (20, 2), (30, 1), (69, 1), (70, 1), (90, 1)], [3, 3, 3, 3, 3, 2, 1]),  # one by one
        ([(0, 3), (10, 1), (70, 0), (129, 0), (130, 0)], [3, 3, 1, 1, 0]),
        ([(0, 0), (500, 4)], [1, 4]),
    ],
)
def test_fewer_replicas_run_when_fewer_would_have_done_for_the_delay(
    seen: list[tuple[int, int]], targets: list[int]
) -> None:
    scale = Scale(1, (START,))
    found = []
    for second, desired in seen:
        now = START + timedelta(seconds=second)
        scale = rescale(scale, desired=desired, now=now, delay_seconds=60)
        found.append(scale.target)
    assert found == targets


def test_without_a_delay_fewer_run_at_once() -> None:
    scale = Scale(3, (START,) * 3)
    assert rescale(scale, desired=1, now=START, delay_seconds=0).target == 1


@pytest.mark.parametrize(("minimum", "initial", "are_elastic"), [(0, 1, True), (2, 2, True), (3, 3, False)])
def test_a_deployment_comes_up_with_a_replica(minimum: int, initial: int, are_elastic: bool) -> None:
    limits = ScaleLimits(minimum, 3, delay_seconds=60)
    assert (limits.initial, limits.are_elastic) == (initial, are_elastic)
