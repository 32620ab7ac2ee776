"""What a chart needs of the harness's metrics: counters and histograms read, and what happened between two readings."""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

_LINE: Final = re.compile(r"(baseten_[a-z_]+)\{([^}]*)\} (\S+)")
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_REQUESTS: Final = "baseten_inference_requests_total"
_WEBHOOKS: Final = "baseten_async_webhook_requests_total"
_HISTOGRAMS: Final = {
    "baseten_end_to_end_response_time_seconds_bucket": "response",
    "baseten_time_in_async_queue_seconds_bucket": "queued",
    "baseten_async_webhook_latency_seconds_bucket": "webhook",
}
_GAUGES: Final = {
    "baseten_async_queue_size": "queue_size",
    "baseten_replicas_active": "active",
    "baseten_replicas_starting": "starting",
}
_SIGNIFICANT: Final = 6


@dataclass
class Reading:
    """The metrics at a moment, of all deployments together; ``buckets`` are counts up to each bound, by histogram."""

    succeeded: float = 0
    failed: float = 0
    webhooks: float = 0
    gauges: dict[str, float] = field(default_factory=lambda: dict.fromkeys(_GAUGES.values(), 0.0))
    buckets: dict[str, dict[float, float]] = field(
        default_factory=lambda: {name: defaultdict(float) for name in _HISTOGRAMS.values()}
    )


class Point(NamedTuple):
    """What a chart shows of the time up to ``at``, in seconds since 1970. Rates are a second's; None: nothing happened."""

    at: float
    succeeded: float
    failed: float
    response_p50: float | None
    response_p99: float | None
    queued_p50: float | None
    queued_p99: float | None
    queue_size: float
    webhooks: float
    webhook_p50: float | None
    webhook_p99: float | None
    active: float
    starting: float


def read(exposition: str) -> Reading:
    """The metrics as they are exposed."""
    reading = Reading()
    for name, labels, text in _LINE.findall(exposition):
        if name in _HISTOGRAMS:
            bound = float(dict(_LABEL.findall(labels))["le"])
            reading.buckets[_HISTOGRAMS[name]][bound] += float(text)
        elif name in _GAUGES:
            reading.gauges[_GAUGES[name]] += float(text)
        elif name == _WEBHOOKS:
            reading.webhooks += float(text)
        elif name == _REQUESTS:
            if dict(_LABEL.findall(labels))["status"].startswith("2"):
                reading.succeeded += float(text)
            else:
                reading.failed += float(text)
    return reading


def between(before: Reading, after: Reading, *, at: float, seconds: float) -> Point:
    """What happened from one reading to the next, which is of that moment."""
    quantiles = {name: _quantiles(before.buckets[name], after.buckets[name]) for name in _HISTOGRAMS.values()}
    return Point(
        at,
        (after.succeeded - before.succeeded) / seconds,
        (after.failed - before.failed) / seconds,
        *quantiles["response"],
        *quantiles["queued"],
        after.gauges["queue_size"],
        (after.webhooks - before.webhooks) / seconds,
        *quantiles["webhook"],
        after.gauges["active"],
        after.gauges["starting"],
    )


def row_of(point: Point) -> str:
    """A point as charts read it: its numbers, in a JSON array."""
    rounded = (None if value is None else float(f"{value:.{_SIGNIFICANT}g}") for value in point[1:])
    return json.dumps([point.at, *rounded])


def _quantiles(before: dict[float, float], after: dict[float, float]) -> tuple[float | None, float | None]:
    """The median and the 99th percentile of what came in between, straight lines drawn within a bucket."""
    bounds = sorted(after)
    counts = [after[bound] - before.get(bound, 0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return None, None
    return _quantile(bounds, counts, 0.5), _quantile(bounds, counts, 0.99)


def _quantile(bounds: list[float], counts: list[float], share: float) -> float:
    wanted = share * counts[-1]
    place = bisect_left(counts, wanted)
    lower, upper = (bounds[place - 1] if place else 0.0), bounds[place]
    if upper == float("inf"):
        return lower
    below = counts[place - 1] if place else 0.0
    return lower + (upper - lower) * (wanted - below) / (counts[place] - below)
