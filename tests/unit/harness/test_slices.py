import pytest

from truss_async.harness.slices import FIRST, SECONDS, SliceSize


@pytest.mark.parametrize(
    ("took", "limits"),
    [
        ([0.0] * 6, [32, 64, 100, 100, 100, 100]),
        ([2 * SECONDS] * 6, [8, 4, 2, 1, 1, 1]),
        ([SECONDS / 2] * 2, [FIRST, FIRST]),
        ([0.0, 0.0, 2 * SECONDS], [32, 64, 32]),
    ],
    ids=["quick", "slow", "as it should be", "first quick, then slow"],
)
def test_a_slice_grows_while_it_is_quick_and_shrinks_when_it_is_slow(
    took: list[float], limits: list[int]
) -> None:
    size, seen = SliceSize(most=100), []
    assert size.limit == FIRST
    for seconds in took:
        size.took(seconds)
        seen.append(size.limit)
    assert seen == limits


def test_the_first_slice_is_no_larger_than_any() -> None:
    assert SliceSize(most=3).limit == 3
