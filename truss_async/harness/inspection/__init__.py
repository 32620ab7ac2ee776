"""What a harness shows of its requests: lists, one request as a whole, the lines of its replicas, the log.

Pages and commands show the same; neither has a logic of its own.
"""

from .harness_log import AnsweredCall, HarnessLog
from .kept_inputs import KeptInputs
from .line_keeper import LineKeeper
from .listing import (
    DEFAULT_LISTED,
    MAX_LISTED,
    STATUS_KEPT,
    AmbiguousIdError,
    Wanted,
    full_id,
    list_requests,
)
from .request_view import MAX_VIEWED_LINES, view_of

__all__ = [
    "DEFAULT_LISTED",
    "MAX_LISTED",
    "MAX_VIEWED_LINES",
    "STATUS_KEPT",
    "AmbiguousIdError",
    "AnsweredCall",
    "HarnessLog",
    "KeptInputs",
    "LineKeeper",
    "Wanted",
    "full_id",
    "list_requests",
    "view_of",
]
