"""Attempts at one request that take turns: each operation on the store is a step, and a test says whose is next."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypeVar

from truss_async.errors import OutputError, OutputStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from truss_async.stores import ObjectInfo, ObjectStore
    from truss_async.stores.protocol import Body

    Choose: TypeAlias = Callable[[int], int]

T = TypeVar("T")

PATIENCE_SECONDS = 60


class Killed(BaseException):
    """The process of the attempt has ended."""


@dataclass
class Fate:
    """What becomes of an attempt: at that step, counted from 0, its process is killed, or its store goes down."""

    killed_at: int | None = None
    is_killed_after_it: bool = False
    down_from: int | None = None
    steps: int = 0


class Turns:
    """Who waits for a step, and who has one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running: set[str] = set()
        self._waiting: set[str] = set()
        self._is_over = False

    def begin(self, name: str, act: Callable[[], None]) -> threading.Thread:
        def work() -> None:
            try:
                act()
            except Killed:
                pass
            except OutputError as error:  # the walk of an output takes it for one of the output's own
                if not isinstance(error.__cause__, Killed):
                    raise
            finally:
                with self._changed:
                    self._running.discard(name)
                    self._changed.notify_all()

        self._running.add(name)
        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def step(self, name: str) -> None:
        """Wait for the turn of that name."""
        with self._changed:
            self._running.discard(name)
            self._waiting.add(name)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._is_over or name in self._running, PATIENCE_SECONDS)
        if self._is_over:
            raise Killed

    def end(self) -> None:
        """Kill those who wait for a step."""
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def waiting(self) -> list[str]:
        """Those who wait for a step, once all do who have not ended."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._running, PATIENCE_SECONDS)
            return sorted(self._waiting)

    def let(self, name: str) -> None:
        with self._changed:
            self._waiting.discard(name)
            self._running.add(name)
            self._changed.notify_all()


@dataclass
class SteppedStore:
    """A store in which each operation of an attempt is a step."""

    objects: ObjectStore
    name: str
    turns: Turns
    fate: Fate = field(default_factory=Fate)

    @property
    def url(self) -> str:
        return self.objects.url

    @property
    def has_conditional_puts(self) -> bool:
        return self.objects.has_conditional_puts

    def put(self, key: str, body: Body, **described: Any) -> None:
        self._step(lambda: self.objects.put(key, body, **described))

    def open(self, key: str) -> BinaryIO:
        return self._step(lambda: self.objects.open(key))

    def head(self, key: str) -> ObjectInfo:
        return self._step(lambda: self.objects.head(key))

    def delete(self, key: str) -> None:
        self._step(lambda: self.objects.delete(key))

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        raise AssertionError("nothing that saves lists a store")

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        raise AssertionError("nothing that saves presigns")

    def _step(self, act: Callable[[], T]) -> T:
        fate = self.fate
        is_last = fate.steps == fate.killed_at
        if fate.killed_at is not None and fate.steps > fate.killed_at:
            raise Killed
        self.turns.step(self.name)
        fate.steps += 1
        if is_last and not fate.is_killed_after_it:
            raise Killed
        if fate.down_from is not None and fate.steps > fate.down_from:
            raise OutputStoreError("it is down", passes=False)
        try:
            return act()
        finally:
            if is_last:
                raise Killed


def all_ways(run: Callable[[Choose], None]) -> int:
    """Run it once for each sequence of choices that it can make; return how many these are."""
    path: list[int] = []
    for count in range(1, 1_000_000):
        made: list[tuple[int, int]] = []

        def choose(
            options: int, made: list[tuple[int, int]] = made, path: tuple[int, ...] = tuple(path)
        ) -> int:
            chosen = path[len(made)] if len(made) < len(path) else 0
            made.append((chosen, options))
            return chosen

        run(choose)
        while made and made[-1][0] + 1 == made[-1][1]:
            made.pop()
        if not made:
            return count
        path = [chosen for chosen, _ in made]
        path[-1] += 1
    raise AssertionError("there is no end to it")
