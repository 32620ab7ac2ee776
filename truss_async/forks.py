"""What holds a lock, a thread or a connection has to let go of it in a forked process."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable


def in_forked_process(method: Callable[[], None]) -> None:
    """Have the bound method called in every process that is forked from this one, as long as its object lives."""
    reference = weakref.WeakMethod(method)

    def call() -> None:
        bound = reference()
        if bound is not None:
            bound()

    os.register_at_fork(after_in_child=call)
