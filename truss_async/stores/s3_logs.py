"""botocore's own debug log quotes the headers of a request, and among them the session token. Not with us."""

from __future__ import annotations

import logging
import re
from typing import Final

_LOGGERS: Final = ("botocore.auth", "botocore.endpoint")
_TOKEN: Final = re.compile(r"(x-amz-security-token\W+(?:b')?)[A-Za-z0-9+/=%_-]+", re.IGNORECASE)


def hide_session_tokens() -> None:
    """From now on, in every log; a second call changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_without_token)


def _without_token(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    hidden = _TOKEN.sub(r"\1***", message)
    if hidden != message:
        record.msg, record.args = hidden, ()
    return True
