"""Counters, histograms and gauges, and how Prometheus reads them; what is empty is not written. Of one event loop."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from prometheus_client.utils import floatToGoString


class Series(Protocol):
    """One line or more, of one set of labels."""

    def __init__(self, name: str, labels: str, buckets: tuple[float, ...]) -> None: ...

    def lines(self) -> Iterator[str]:
        """As they are written."""


OneSeries = TypeVar("OneSeries", bound=Series)


class Value:
    """A counter, or a gauge."""

    def __init__(self, name: str, labels: str, _buckets: tuple[float, ...]) -> None:
        self.value = 0.0
        self._start = f"{name}{{{labels}}}"

    def lines(self) -> Iterator[str]:
        yield f"{self._start} {self.value}\n"


class Histogram:
    """How often values were up to each bound."""

    def __init__(self, name: str, labels: str, buckets: tuple[float, ...]) -> None:
        self._bounds = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0
        bounds = map(floatToGoString, (*buckets, float("inf")))
        self._starts = [f'{name}_bucket{{{labels},le="{bound}"}}' for bound in bounds]
        self._ends = f"{name}_count{{{labels}}}", f"{name}_sum{{{labels}}}"

    def observe(self, value: float) -> None:
        """Count it."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self) -> Iterator[str]:
        if not any(self._counts):
            return
        total = 0
        for start, count in zip(self._starts, self._counts, strict=True):
            total += count
            yield f"{start} {total}\n"
        yield f"{self._ends[0]} {total}\n{self._ends[1]} {self._sum}\n"


class Family(Generic[OneSeries]):
    """All series of one name; each is made when it is first asked for."""

    def __init__(
        self, kind: type[OneSeries], name: str, type_name: str, text: str, *, buckets: tuple[float, ...] = ()
    ) -> None:
        self._kind = kind
        self._name = name
        self._head = f"# HELP {name} {text}\n# TYPE {name} {type_name}\n"
        self._buckets = buckets
        self._series: dict[str, OneSeries] = {}

    def of(self, labels: Mapping[str, str]) -> OneSeries:
        """The one with these labels."""
        told = ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
        if told not in self._series:
            self._series[told] = self._kind(self._name, told, self._buckets)
        return self._series[told]

    def lines(self) -> Iterator[str]:
        """What it is, and each series."""
        yield self._head
        for series in self._series.values():
            yield from series.lines()


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
