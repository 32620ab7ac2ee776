"""Nothing that others wrote reaches a log or a terminal with a password, a control character, or at any length."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import truss_async
from truss_async.printable import LONGEST_LINE, escaped, printable, printable_logger

TRICKS = ["\x1b[2J", "\x9b31m", "\r", "\x00", "\x7f", "\u202e", "\u2066", "\u200f", "\u061c", "\u2028", "\ud800", "\ufeff", "\U000e0041"]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@example.com/hook",
        "HTTPS://user:secret@example.com/hook",
        "https://:secret@example.com/",
        "https://secret@example.com",
        "https://user:se@secret@example.com/",
        "https://user%40x:%73secret@[::1]:8000/",
        f"https://user:{'secret' * LONGEST_LINE}@example.com/",
    ],
)
@pytest.mark.parametrize("around", ["{}", "cannot send to {}: refused", "({})", "'{}' and {}", "\n{}\n"])
def test_whom_a_url_logs_in_as_is_masked(url: str, around: str) -> None:
    line = printable(around.format(url, url))
    assert "secret" not in line
    assert "***@" in line


def test_an_address_that_is_no_url_stays() -> None:
    assert printable("write to me@example.com, or https://example.com/a@b?c=@") == (
        "write to me@example.com, or https://example.com/a@b?c=@"
    )


@pytest.mark.parametrize("trick", [*TRICKS, "\n"])
def test_a_line_stays_one_line_of_characters_that_are_seen(trick: str) -> None:
    line = printable(f"a{trick}b")
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp") for character in line)
    assert json.loads(f'"{line}"') == f"a{trick}b"


@pytest.mark.parametrize("text", ["plain", "結果: 完了　です", "naïve – “x”\xa0y", "👩‍👩‍👧", "a\tb", ""])
def test_what_any_language_writes_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


def test_a_long_text_is_cut_and_told_by_how_much() -> None:
    line = printable("x" * 2_000_000)
    assert line == "x" * LONGEST_LINE + f"… ({2_000_000 - LONGEST_LINE} characters more)"
    assert printable("x" * LONGEST_LINE) == "x" * LONGEST_LINE
    assert printable("x" * 11, limit=10) == "x" * 10 + "… (1 characters more)"


@given(st.text(st.characters(codec=None)), st.integers(0, 50))
def test_any_text_becomes_a_line_that_can_be_written(text: str, limit: int) -> None:
    line = printable(text, limit=limit)
    line.encode()
    assert len(line.splitlines()) <= 1
    assert not set("".join(TRICKS)) & set(line) - set("[2J31m")


@given(st.recursive(st.none() | st.text(st.characters(exclude_categories=["Cs"])), st.lists))
def test_json_keeps_its_value(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=1)
    assert json.loads(escaped(text)) == value
    assert escaped(text).count("\n") == text.count("\n")


def test_what_a_logger_of_ours_says_is_printable_and_so_is_the_traceback() -> None:
    logger, written = printable_logger("truss_async.tests.printable"), io.StringIO()
    assert printable_logger("truss_async.tests.printable") is logger
    handler = logging.StreamHandler(written)
    logger.addHandler(handler)
    try:
        logger.error("cannot reach %s: %s", "https://u:secret@h/", "\x1b[31mno")
        try:
            raise ValueError("\x1b]0;title\x07")
        except ValueError:
            logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
    lines = written.getvalue().splitlines()
    assert lines[0] == r"cannot reach https://***@h/: \u001b[31mno"
    assert lines[1] == "it failed"
    assert lines[-1] == r"ValueError: \u001b]0;title\u0007"


def test_every_logger_of_the_package_says_printable_lines() -> None:
    package = Path(truss_async.__file__).parent
    texts = {file: file.read_text(encoding="utf-8") for file in package.rglob("*.py")}
    assert [str(file) for file, text in texts.items() if "logging.getLogger(__name__)" in text] == []


PRINTS_BESIDE_OTHERS = """
import threading
from truss_async.printable import print_line
threads = [threading.Thread(target=lambda: [print_line("a line of some words") for _ in range(2000)]) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_no_line_comes_between_a_line_and_its_end(unbuffered: str) -> None:
    """As it does with print in a process that does not buffer, which many containers ask for."""
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-c", PRINTS_BESIDE_OTHERS]
    printed = subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True, timeout=60
    ).stdout
    assert printed == "a line of some words\n" * 8000
