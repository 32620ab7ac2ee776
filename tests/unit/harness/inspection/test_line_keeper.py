"""The lines of replicas, kept for who asks later."""

from datetime import datetime, timezone

from truss_async.contract.harness_calls import LogLines
from truss_async.harness.inspection import LineKeeper
from truss_async.replicas.logs import ReplicaLogLine

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def keeper(*messages: str, **bounds: int) -> LineKeeper:
    made = LineKeeper(**bounds)
    for message in messages:
        made.keep(ReplicaLogLine("replica-1", message, request_id=message[0]), at=NOW)
    return made


def messages(found: LogLines) -> list[str]:
    return [line.message for line in found.lines]


def test_the_latest_lines_are_told_oldest_first() -> None:
    assert messages(keeper("a1", "b1", "a2").latest(limit=2)) == ["b1", "a2"]


def test_the_lines_of_a_request_are_told_alone() -> None:
    assert messages(keeper("a1", "b1", "a2").latest(request_id="a", limit=9)) == ["a1", "a2"]


def test_who_goes_on_after_a_number_misses_nothing_and_sees_nothing_twice() -> None:
    kept = keeper("a1", "b1")
    first = kept.latest(request_id="a", limit=9)
    for message in ("a2", "b2", "a3", "a4"):
        kept.keep(ReplicaLogLine("replica-1", message, request_id=message[0]), at=NOW)
    second = kept.latest(request_id="a", after=first.next, limit=2)
    third = kept.latest(request_id="a", after=second.next, limit=2)
    assert (messages(first), messages(second), messages(third)) == (["a1"], ["a2", "a3"], ["a4"])
    assert messages(kept.latest(request_id="a", after=third.next, limit=2)) == []


def test_no_more_is_kept_than_is_allowed() -> None:
    assert messages(keeper("1", "2", "3", max_lines=2).latest(limit=9)) == ["2", "3"]
    assert messages(keeper("1" * 6, "2" * 6, "3", max_characters=10).latest(limit=9)) == ["2" * 6, "3"]
