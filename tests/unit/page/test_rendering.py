"""How times, statuses and texts of others are written on a page."""

from datetime import datetime, timedelta, timezone

import pytest

from truss_async.page.rendering import ago, seconds_text, shown, status_mark

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"), (0.0, "0.000 s"), (0.0123, "0.012 s"), (4.25, "4.2 s"), (60, "1 min"), (200, "3 min 20 s"),
        (3600, "1 h"), (90_000, "1 d 1 h"),
    ],
)  # fmt: skip
def test_seconds_are_written_as_people_say_them(seconds: float | None, text: str) -> None:
    assert seconds_text(seconds) == text


def test_a_moment_is_relative_and_exact_on_hover() -> None:
    assert 'title="2026-01-01 11:58:55.000 UTC">1 min ago<' in ago(NOW - timedelta(seconds=65), NOW)
    assert ">in 2 h<" in ago(NOW + timedelta(hours=2), NOW)
    assert ">now<" in ago(NOW, NOW)


def test_text_of_others_loses_colours_and_shows_what_is_invisible() -> None:
    assert shown("\x1b[1;31mred\x1b[0m \x1b]0;title\x07\x00\u202e") == r"red \u0000\u202e"
    assert shown("x" * 100, limit=10).startswith("xxxxxxxxxx…")
    assert shown("s3://key:secret@bucket") == "s3://***@bucket"
    assert status_mark('<"').count("<") == 4
