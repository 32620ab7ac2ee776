"""Text of others, made fit for a log and a terminal: no password, no control character, no endless line."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Final, TextIO

LONGEST_LINE: Final = 2000

# C0 without tab and newline, DEL, C1, what turns the direction of writing, what is invisible, half of a surrogate pair.
_TRICKS: Final = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_USER_OF_URL: Final = re.compile(r"://[^/?#\s]*@")


def printable(text: str, *, limit: int = LONGEST_LINE) -> str:
    """One line of at most so many characters, before escapes: who a URL logs in as is masked, the rest cut off."""
    if len(text) <= limit and text.isprintable() and "@" not in text:
        return text
    return escaped(shortened(without_logins(text), limit=limit)).replace("\n", "\\n")


def without_logins(text: str) -> str:
    """The text, where who a URL in it logs in as is masked."""
    return _USER_OF_URL.sub("://***@", text)


def shortened(text: str, *, limit: int) -> str:
    """The text, or as much of its beginning, and how much is missing."""
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text) - limit} characters more)"


def escaped(text: str) -> str:
    """The text with JSON's escape for each character that could play tricks on a terminal; inside JSON, the same value."""
    return text if text.isprintable() else _TRICKS.sub(_escape, text)


def print_line(line: str, *, file: TextIO | None = None) -> None:
    """Print the line at once and whole, to standard output by default, whatever other threads print meanwhile.

    ``print`` writes a line and its end one after the other: the line of another thread may come between them.
    """
    file = file or sys.stdout
    file.write(f"{line}\n")
    file.flush()


def printable_logger(name: str) -> logging.Logger:
    """The logger of that name; whatever the arguments of its messages are, its lines are printable."""
    logger = logging.getLogger(name)
    if _make_printable not in logger.filters:
        logger.addFilter(_make_printable)
    return logger


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def _make_printable(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), None
    if record.exc_info and not record.exc_text:
        lines = logging.Formatter().formatException(record.exc_info).split("\n")
        record.exc_text = "\n".join(map(printable, lines))
    return True
