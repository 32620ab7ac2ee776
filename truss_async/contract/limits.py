"""The platform's numbers, from its public documentation of async inference. Units are in the names."""

from typing import Final

MIN_PRIORITY: Final = 0
MAX_PRIORITY: Final = 2
DEFAULT_PRIORITY: Final = 0

MIN_TIME_IN_QUEUE_SECONDS: Final = 10
MAX_TIME_IN_QUEUE_SECONDS: Final = 72 * 3600
DEFAULT_TIME_IN_QUEUE_SECONDS: Final = 600

MIN_INFERENCE_ATTEMPTS: Final = 1
MAX_INFERENCE_ATTEMPTS: Final = 10
DEFAULT_INFERENCE_ATTEMPTS: Final = 3
MAX_INITIAL_DELAY_MS: Final = 10_000
DEFAULT_INITIAL_DELAY_MS: Final = 1_000
MAX_MAX_DELAY_MS: Final = 60_000
DEFAULT_MAX_DELAY_MS: Final = 5_000
BACKOFF_FACTOR: Final = 2

INFERENCE_TIMEOUT_SECONDS: Final = 3600
SYNC_TIMEOUT_SECONDS: Final = 1200
STATUS_KEPT_SECONDS: Final = 3600

# The waits between delivery attempts; "older" is what the documentation once said.
DELIVERY_SCHEDULES: Final = {"current": (2.0,), "older": (1.0, 4.0)}
DELIVERY_TIMEOUT_SECONDS: Final = 10.0
DELIVERY_RETRY_STATUSES: Final = frozenset({500, 502, 503, 504})
WEBHOOK_SECRET_OVERLAP_SECONDS: Final = 24 * 3600
WEBHOOK_AGE_TOLERANCE_SECONDS: Final = 300

MAX_ASYNC_BODY_BYTES: Final = 256 * 1024
MAX_BODY_BYTES: Final = 100 * 1000 * 1000
