import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from truss_async.clock import ManualClock
from truss_async.demo.outcomes import PageOutcome
from truss_async.demo.screen import Screen


def shown(outcome: PageOutcome, *, width: int) -> str:
    file = io.StringIO()
    Screen(clock=ManualClock(), console=Console(file=file, width=width)).show_table([outcome])
    return file.getvalue()


def test_on_a_wide_screen_a_page_is_one_line(good: PageOutcome) -> None:
    (row,) = [line for line in shown(good, width=170).splitlines() if line.startswith("invoice-1")]
    request_id = good.submission.request_id
    assert row.split() == [
        *("invoice-1", request_id, "2", "10.0", "2.0", "SUCCEEDED", "SUCCEEDED", "valid"),
        *(f"outputs/{request_id}.json", "47"),
    ]


@pytest.mark.parametrize("width", [80, 100, 120])
def test_on_a_narrow_screen_names_are_broken_but_nothing_is_cut(good: PageOutcome, width: int) -> None:
    table = shown(good, width=width)
    assert max(map(len, table.splitlines())) <= width
    header, _, rows = table.partition("─")
    assert {"page", "prio", "status", "lines"} <= set(header.split())
    characters = re.sub(r"\s", "", rows)
    assert {"invoice-1", "10.0", "47", "valid"} <= set(rows.split())
    # Two broken names side by side: every character of both is there.
    assert all(characters.count(digit) >= 4 for digit in "0123456789abcdef")


def test_lines_bear_the_seconds_since_the_start_and_are_shown_as_they_are() -> None:
    file = io.StringIO()
    clock = ManualClock()
    screen = Screen(clock=clock, console=Console(file=file, width=20))
    clock.advance(seconds=1.25)
    screen.say("a long line with [brackets] and more than twenty characters")
    assert file.getvalue() == "   1.2 s  a long line with [brackets] and more than twenty characters\n"


def test_files_are_named_one_to_a_line(tmp_path: Path) -> None:
    file = io.StringIO()
    screen = Screen(clock=ManualClock(), console=Console(file=file, width=80))
    screen.show_files(tmp_path, ["a.png", "b.png"])
    assert file.getvalue().splitlines()[:2] == [f"{tmp_path}/a.png", f"{tmp_path}/b.png"]
