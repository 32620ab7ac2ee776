"""When a harness ends because of what does not load."""

import pytest

from truss_async.errors import HarnessError
from truss_async.harness.load_failures import LoadFailures
from truss_async.replicas.protocol import ReplicaLoadError, UnservableError

MENDABLE, LASTING = ReplicaLoadError("SyntaxError"), UnservableError("no such Python")


@pytest.mark.parametrize(
    ("count", "fail_fast", "failed", "ends"),
    [
        (1, False, {"a": MENDABLE}, False),
        (1, False, {"a": LASTING}, True),
        (1, True, {"a": MENDABLE}, True),
        (2, False, {"a": LASTING}, False),
        (2, False, {"a": LASTING, "b": MENDABLE}, False),
        (2, False, {"a": LASTING, "b": LASTING}, True),
        (2, True, {"a": MENDABLE}, True),
    ],
)
def test_it_ends_when_nothing_is_left_to_serve(
    count: int, fail_fast: bool, failed: dict[str, HarnessError], ends: bool
) -> None:
    failures = LoadFailures(count=count, fail_fast=fail_fast)
    assert [failures.note(*each) for each in failed.items()][-1] is ends
    assert (failures.error is not None) is ends


def test_two_replicas_of_one_deployment_are_one() -> None:
    failures = LoadFailures(count=2, fail_fast=False)
    assert not any(failures.note("a", LASTING) for _ in range(2))
