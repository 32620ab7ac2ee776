"""Moments and durations as people write them."""

from datetime import datetime, timedelta, timezone

import pytest

from truss_async.contract.moments import duration, moment

NOW = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("12h", timedelta(hours=12)),
        ("7d", timedelta(7)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, length: timedelta) -> None:
    assert duration(text) == length
    assert moment(text, now=NOW) == NOW - length


@pytest.mark.parametrize("text", ["", "1", "h", "1w", "-1h", "1.5h", "1 h", "1h30m", "123456s"])
def test_anything_else_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        duration(text)


@pytest.mark.parametrize("text", ["2026-01-31T12:00Z", "2026-01-31T12:00", "2026-01-31T13:00+01:00"])
def test_a_moment_is_written_out_and_in_utc_unless_it_says_otherwise(text: str) -> None:
    assert moment(text, now=NOW + timedelta(1)) == NOW


@pytest.mark.parametrize("text", ["soon", "2026-13-01", ""])
def test_anything_else_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="neither a duration"):
        moment(text, now=NOW)


def test_what_was_before_the_calendar_is_no_moment() -> None:
    with pytest.raises(ValueError, match="too long ago"):
        moment("99999d", now=datetime(2, 1, 1, tzinfo=timezone.utc))
