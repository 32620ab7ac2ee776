"""What a traceback says, for a message of one line."""

from traceback import format_exc

import pytest

from truss_async.replicas.exception_texts import exception_text

TRACEBACK = """Traceback (most recent call last):
  File "/x/app/model/model.py", line 3, in load
    raise ValueError("boom")
ValueError: boom
second line of the message"""


def test_what_a_traceback_says_is_the_class_and_the_whole_text() -> None:
    assert exception_text(TRACEBACK) == "ValueError: boom second line of the message"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError(), "ValueError"),
        (
            ValueError("\nSecret 'x' not found.\n\n  Declare it."),
            "ValueError: Secret 'x' not found. Declare it.",
        ),
        (
            ValueError(f"worker failed:\n{TRACEBACK}"),
            f"ValueError: worker failed: {' '.join(TRACEBACK.split())}",
        ),
        (ValueError("x" * 5000), f"ValueError: {'x' * 988}… (4012 characters more)"),
    ],
)
def test_no_text_of_an_exception_is_lost_however_it_is_written(error: Exception, told: str) -> None:
    try:
        raise error
    except ValueError:
        assert exception_text(format_exc()) == told


def test_the_last_of_exceptions_that_came_of_each_other_is_told() -> None:
    told = []
    for raises in ("raise KeyError('second') from error", "raise KeyError('second')"):
        source = f"try: raise ValueError('first')\nexcept ValueError as error: {raises}"
        try:
            exec(source)
        except KeyError:
            told.append(exception_text(format_exc()))
    assert told == ["KeyError: 'second'"] * 2


def test_a_syntax_error_is_found_behind_the_marker() -> None:
    text = 'Traceback (most recent call last):\n  File "m.py", line 1\n    def\n       ^\nSyntaxError: invalid syntax\n'
    assert exception_text(text) == "SyntaxError: invalid syntax"


def test_of_anything_else_some_line_is_told() -> None:
    assert exception_text("  | odd\n  | group") == "| group"
    assert exception_text("") == ""
