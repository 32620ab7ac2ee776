from datetime import datetime, timedelta, timezone

import pytest

from truss_async.replicas.scaling import LoadAverage, Scale, ScaleLimits, desired_replicas, rescale

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


LIMITS = ScaleLimits(0, 99, delay_seconds=60)


@pytest.mark.parametrize(
    ("average", "target", "utilization", "minimum", "maximum", "desired"),
    [
        (0, 1, 100, 0, 3, 0),
        (0, 1, 100, 2, 3, 2),
        (1, 1, 100, 0, 3, 1),
        (0.1, 1, 70, 0, 3, 1),
        (0.7, 1, 70, 0, 3, 1),
        (0.71, 1, 70, 0, 3, 2),
        (1, 1, 70, 0, 3, 2),
        (25, 10, 70, 0, 9, 4),  # the documentation's own example
        (8, 8, 100, 0, 3, 1),
        (9, 8, 100, 0, 3, 2),
        (9, 8, 100, 3, 3, 3),
        (50_000, 8, 70, 0, 3, 3),
    ],
)
def test_replicas_are_enough_for_the_average_load_at_the_target_within_the_limits(
    average: float, target: int, utilization: int, minimum: int, maximum: int, desired: int
) -> None:
    limits = ScaleLimits(
        minimum, maximum, delay_seconds=60, concurrency_target=target, target_utilization=utilization
    )
    assert desired_replicas(average, is_wanted=False, limits=limits) == desired


def test_one_is_wanted_as_soon_as_there_is_a_request_at_all() -> None:
    assert desired_replicas(0, is_wanted=True, limits=LIMITS) == 1
    assert desired_replicas(3, is_wanted=True, limits=LIMITS) == 3


@pytest.mark.parametrize(
    ("notes", "at", "average"),
    [
        ([], 30, 0),
        ([(0, 6)], 0, 0),
        ([(0, 6)], 10, 1),
        ([(0, 6)], 60, 6),
        ([(0, 6)], 1000, 6),
        ([(0, 6), (30, 0)], 60, 3),
        ([(0, 6), (30, 0)], 75, 1.5),
        ([(0, 6), (30, 0)], 90, 0),
        ([(0, 6), (30, 12)], 60, 9),
        ([(0, 600), (0, 0)], 60, 0),
        ([(0, 1), (100, 2), (130, 4)], 160, 3),
    ],
)
def test_the_load_is_averaged_over_the_window(notes: list[tuple[int, int]], at: int, average: float) -> None:
    load = LoadAverage(60, now=START)
    for second, requests in notes:
        load.note(requests, now=START + timedelta(seconds=second))
    assert load.at(START + timedelta(seconds=at)) == pytest.approx(average)


def test_however_often_the_load_is_noted_its_average_is_right_and_takes_no_room() -> None:
    load = LoadAverage(60, now=START)
    for number in range(100_000):
        load.note(number % 2 * 4, now=START + timedelta(milliseconds=number))
    assert load.at(START + timedelta(seconds=100)) == pytest.approx(2, rel=0.01)
    assert len(load._points) < 70


@pytest.mark.parametrize(
    ("rate", "targets"), [(50, [8, 4, 2, 1, 0, 0]), (20, [8, 7, 6, 5, 4, 3]), (1, [8, 7, 6, 5, 4, 3])]
)
def test_no_more_than_a_step_goes_within_a_window(rate: int, targets: list[int]) -> None:
    limits = ScaleLimits(0, 8, delay_seconds=60, window_seconds=60, max_scale_down_rate=rate)
    scale = rescale(Scale(8, (START,) * 8), desired=0, now=START, limits=limits)
    found = [scale.target]
    for window in range(1, 6):
        for second in (0, 59):
            now = START + timedelta(seconds=60 * window + second)
            scale = rescale(scale, desired=0, now=now, limits=limits)
        found.append(scale.target)
    assert found == targets


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
        scale = rescale(scale, desired=desired, now=now, limits=LIMITS)
        found.append(scale.target)
    assert found == targets


def test_without_a_delay_fewer_run_at_once() -> None:
    scale = Scale(3, (START,) * 3)
    assert rescale(scale, desired=1, now=START, limits=ScaleLimits(0, 3, delay_seconds=0)).target == 1


@pytest.mark.parametrize(("minimum", "initial", "are_elastic"), [(0, 1, True), (2, 2, True), (3, 3, False)])
def test_a_deployment_comes_up_with_a_replica(minimum: int, initial: int, are_elastic: bool) -> None:
    limits = ScaleLimits(minimum, 3, delay_seconds=60)
    assert (limits.initial, limits.are_elastic) == (initial, are_elastic)
