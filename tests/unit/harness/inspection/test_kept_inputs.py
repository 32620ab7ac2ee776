"""Inputs are kept in memory, and no more of them than is allowed."""

from datetime import datetime, timezone

from truss_async.contract import InferenceRetryConfig
from truss_async.harness.inspection import KeptInputs
from truss_async.harness.request_queue import AcceptedRequest, NewRequest

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def request(name: str, size: int) -> NewRequest:
    accepted = AcceptedRequest("m", None, None, InferenceRetryConfig())
    return NewRequest(name, "d", accepted, b"x" * size, 0, NOW, NOW)


def test_the_oldest_go_when_there_are_too_many_or_they_are_too_large() -> None:
    kept = KeptInputs(max_bytes=100, max_requests=3)
    for name in "abcd":
        kept.keep(request(name, 10))
    assert kept.of("a") is None
    assert kept.of("d") is not None
    kept.keep(request("large", 95))
    assert [name for name in "bcd" if kept.of(name)] == []
    assert kept.of("large") is not None
    kept.keep(request("larger", 101))
    assert kept.of("larger") is None


def test_what_was_looked_up_together_stays_while_others_come() -> None:
    kept = KeptInputs(max_requests=2)
    kept.keep(request("a", 1))
    found = kept.all_by_id()
    for name in "bc":
        kept.keep(request(name, 1))
    assert kept.of("a") is None
    assert list(found) == ["a"]


def test_none_are_kept_where_none_are_wanted() -> None:
    kept = KeptInputs(max_requests=0)
    kept.keep(request("a", 1))
    assert kept.of("a") is None
