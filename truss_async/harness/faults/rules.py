"""The faults that are set, and what they have struck."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...contract.faults import FaultKind, SetFault, Strike
from ...errors import HarnessError, SettingsError
from .decisions import Occasion, fits

if TYPE_CHECKING:
    from ...clock import Clock
    from ...contract.faults import FaultRule

MAX_STRIKES_KEPT: Final = 10_000


class UnknownFaultError(HarnessError):
    """There is no fault of that number."""


@dataclass(slots=True, eq=False)
class _Set:
    id: int
    rule: FaultRule
    struck: int = 0

    @property
    def is_used_up(self) -> bool:
        return self.rule.times is not None and self.struck >= self.rule.times

    def __str__(self) -> str:
        return f"fault {self.id} ({self.rule.kind.value})"


class Faults:
    """Rules are asked in the order in which they were set, and the first that fits an attempt strikes it.

    Safe to use from any thread, before the harness is started and while it runs. ``report`` gets a line when a rule
    strikes for the first time, and for the last.
    """

    def __init__(self, *, clock: Clock, report: Callable[[str], None]) -> None:
        self._clock = clock
        self._report = report
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._sync_calls = itertools.count(1)
        self._rules: list[_Set] = []
        self._strikes: deque[tuple[str, Strike]] = deque(maxlen=MAX_STRIKES_KEPT)
        self._let_through: set[tuple[int, int, int]] = set()
        self.is_armed = False
        """Whether a fault was ever set; until then nobody need ask."""
        self.store_obstacle: Callable[[], str | None] = lambda: None
        """Why no store fault can strike, if it is known."""

    def add(self, rule: FaultRule) -> SetFault:
        """Set a fault, after those that are set already.

        Raises:
            SettingsError: it is one of the store, and no store can be struck.
        """
        if rule.kind.is_of_store and (obstacle := self.store_obstacle()) is not None:
            raise SettingsError(f"kind: {rule.kind.value} cannot be injected: {obstacle}")
        with self._lock:
            added = _Set(next(self._numbers), rule)
            self._rules.append(added)
            self.is_armed = True
            return _shown(added)

    def all(self) -> list[SetFault]:
        """What is set, and how often each has struck."""
        with self._lock:
            return [_shown(item) for item in self._rules]

    def remove(self, fault_id: int) -> SetFault:
        """Let it strike no more; return how it was.

        Raises:
            UnknownFaultError: there is none of that number.
        """
        with self._lock:
            for item in self._rules:
                if item.id == fault_id:
                    self._rules.remove(item)
                    return _shown(item)
        raise UnknownFaultError(f"there is no fault {fault_id}")

    def clear(self) -> list[SetFault]:
        """Let none strike any more; return how they were."""
        with self._lock:
            removed, self._rules = self._rules, []
        return [_shown(item) for item in removed]

    def strikes(self, request_id: str) -> list[Strike]:
        """What has struck a request, in its order; a harness remembers the latest of all requests."""
        with self._lock:
            return [strike for struck, strike in self._strikes if struck == request_id]

    def next_sync_call(self) -> int:
        """The number of a sync call in their order."""
        return next(self._sync_calls)

    def knows_any(self, kinds: Container[FaultKind]) -> bool:
        """Whether a rule of these kinds is set: what none can strike need not be numbered."""
        with self._lock:
            return any(item.rule.kind in kinds for item in self._rules)

    def strike(self, occasion: Occasion, kinds: Iterable[FaultKind]) -> FaultRule | None:
        """The rule that strikes this attempt, which counts as having struck it; only of these kinds."""
        with self._lock:
            item = next(
                (
                    item
                    for item in self._rules
                    if item.rule.kind in kinds and self._strikes_now(item, occasion)
                ),
                None,
            )
            if item is None:
                return None
            item.struck += 1
            strike = Strike(
                kind=item.rule.kind,
                fault_id=item.id,
                attempt=occasion.attempt,
                struck_at=self._clock.now(),
            )
            self._strikes.append((occasion.request_id, strike))
        self._report_strike(item, occasion)
        return item.rule

    def _strikes_now(self, item: _Set, occasion: Occasion) -> bool:
        if item.is_used_up or not fits(item.rule, occasion):
            return False
        if item.rule.kind is not FaultKind.MODEL_429 or item.rule.rate is None:
            return True
        # A 429 does not count as an attempt: what was drawn for it must not strike the same one for ever.
        draw = (item.id, occasion.order, occasion.attempt)
        if draw in self._let_through:
            self._let_through.remove(draw)
            return False
        self._let_through.add(draw)
        return True

    def _report_strike(self, item: _Set, occasion: Occasion) -> None:
        if item.struck == 1:
            self._report(
                f"{item} injected for the first time: request {occasion.request_id}, attempt {occasion.attempt}"
            )
        elif item.is_used_up:
            self._report(f"{item} was injected {item.struck} times; it is used up")


def _shown(item: _Set) -> SetFault:
    return SetFault(**dict(item.rule), id=item.id, struck=item.struck)
