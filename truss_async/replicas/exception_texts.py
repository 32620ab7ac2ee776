"""What exceptions say, for messages of one line: none of it is lost, whatever lines it has."""

from __future__ import annotations

import re
from typing import Final

from ..printable import shortened

_CHAINED: Final = re.compile(
    r"\n\n(?:During handling of the above exception, another exception occurred"
    r"|The above exception was the direct cause of the following exception):\n\n"
)
"""What stands between the tracebacks of exceptions that came of each other."""
_LONGEST: Final = 1000


def exception_text(traceback: str) -> str:
    """What a traceback says in the end, in one line: the exception's class and its text."""
    lines = _CHAINED.split(traceback.rstrip())[-1].splitlines()
    begin = next((i for i, line in enumerate(lines) if i > 0 and line[:1].strip()), max(len(lines) - 1, 0))
    return one_line("\n".join(lines[begin:]))


def one_line(text: str) -> str:
    """A text with a blank for each line break; of a very long one the beginning, and how much is missing."""
    return shortened(" ".join(text.split()), limit=_LONGEST)
