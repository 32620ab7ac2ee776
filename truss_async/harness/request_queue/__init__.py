"""The durable priority queue: the interface, and SQLite as its embedded form."""

from .accepted import AcceptedRequest
from .patience import until_stored
from .protocol import (
    AT_ONCE,
    ClaimedRequest,
    DamagedQueueError,
    DeliveryAttempt,
    DueDelivery,
    EndedRequest,
    FoundRequest,
    KeptResult,
    NewRequest,
    QueueCounts,
    RecordedDelivery,
    RequestFilter,
    RequestQueue,
    RequestQueueError,
    RequestRecord,
    WaitingRetry,
)
from .sqlite import SqliteRequestQueue

__all__ = [
    "AT_ONCE",
    "AcceptedRequest",
    "ClaimedRequest",
    "DamagedQueueError",
    "DeliveryAttempt",
    "DueDelivery",
    "EndedRequest",
    "FoundRequest",
    "KeptResult",
    "NewRequest",
    "QueueCounts",
    "RecordedDelivery",
    "RequestFilter",
    "RequestQueue",
    "RequestQueueError",
    "RequestRecord",
    "SqliteRequestQueue",
    "WaitingRetry",
    "until_stored",
]
