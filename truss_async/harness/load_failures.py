"""When a harness ends because of what does not load: when nothing is left to serve, or at once where that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..replicas.protocol import UnservableError

if TYPE_CHECKING:
    from ..errors import HarnessError


class LoadFailures:
    """Hears of each deployment of ``count`` that did not load at first.

    With ``fail_fast``, the first one is the end; else an error that neither time nor an edit mends, of each of them.
    """

    def __init__(self, *, count: int, fail_fast: bool) -> None:
        self._count = count
        self._fail_fast = fail_fast
        self._lost: set[str] = set()
        self.error: HarnessError | None = None
        """With which all ends; None: it goes on."""

    def note(self, deployment_id: str, error: HarnessError) -> bool:
        """Whether all ends with that."""
        if self._fail_fast or isinstance(error, UnservableError):
            self._lost.add(deployment_id)
            if self._fail_fast or len(self._lost) == self._count:
                self.error = self.error or error
        return self.error is not None
