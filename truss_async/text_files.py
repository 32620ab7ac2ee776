"""Text that people write, read as any editor reads it."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Final

# The one of UTF-32 begins with that of UTF-16.
_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_text(path: Path) -> str:
    """The text of the file, with its line ends as they are; OSError and UnicodeDecodeError as for any file."""
    return as_text(path.read_bytes())


def as_text(written: bytes) -> str:
    """The text, which is UTF-8, or what a byte order mark at its beginning says; the mark is no part of it.

    Raises:
        UnicodeDecodeError: it is no text.
    """
    encodings = (encoding for mark, encoding in _MARKS.items() if written.startswith(mark))
    return written.decode(next(encodings, "utf-8"))
