"""When a write that failed is tried again."""

from dataclasses import dataclass


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
