"""Whether, and when, a write that failed is tried again."""

import errno
from dataclasses import dataclass
from typing import Any, Final

from ..errors import ObjectExistsError, OutputStoreError, UnsafeObjectKeyError

_LASTING_ERRNOS: Final = frozenset(
    getattr(errno, name)
    for name in ("EACCES", "EPERM", "EROFS", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EFBIG")
)
_PASSING_STATUSES: Final = frozenset({408, 409, 425, 429})


@dataclass(frozen=True)
class RetryPolicy:
    """Waits that double up to a limit, each anything from nothing to its full length, until time is up."""

    timeout_seconds: float
    initial_delay_seconds: float = 0.2
    max_delay_seconds: float = 5.0


def retry_delay(
    policy: RetryPolicy, *, attempts_made: int, elapsed_seconds: float, jitter: float
) -> float | None:
    """How many seconds to wait before the next attempt; None when there is no time for one.

    ``jitter``, from 0 to 1, is the share of the full wait, so that many writers do not come back at once.
    """
    full = min(policy.max_delay_seconds, policy.initial_delay_seconds * 2.0 ** min(attempts_made - 1, 60))
    delay = full * jitter
    return delay if elapsed_seconds + delay < policy.timeout_seconds else None


def worth_retrying(error: OutputStoreError) -> bool:
    """Whether the failure may pass by itself; a right that is missing, or a wrong name, does not."""
    if isinstance(error, UnsafeObjectKeyError | ObjectExistsError):
        return False
    cause = error.__cause__
    if isinstance(cause, OSError) and cause.errno in _LASTING_ERRNOS:
        return False
    status = _http_status(cause)
    return status is None or not 400 <= status < 500 or status in _PASSING_STATUSES


def _http_status(cause: Any) -> int | None:
    """What the server answered, as botocore's ClientError, Google's GoogleAPICallError and Azure's errors keep it."""
    response = getattr(cause, "response", None)
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        status = getattr(cause, "status_code", getattr(cause, "code", None))
    return status if isinstance(status, int) else None
