"""How often saving went well, and how often not."""

import threading
from collections import Counter
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class SaveCounts:
    """What became of a model's outputs and errors since it was loaded.

    ``saved``, ``failed`` and ``spilled`` count saves, of a result or an error with all its artifacts; ``retried`` and
    ``uploaded`` count objects: writes tried again, and spilled ones that have reached the store.
    """

    saved: int = 0
    failed: int = 0
    retried: int = 0
    spilled: int = 0
    uploaded: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{each.name} {getattr(self, each.name)}" for each in fields(self))


class SaveCounters:
    """SaveCounts that grow; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> SaveCounts:
        """The counts at this moment."""
        with self._lock:
            return SaveCounts(**self._counts)

    def add(self, name: str) -> None:
        """One more of the SaveCounts of that name."""
        with self._lock:
            self._counts[name] += 1
