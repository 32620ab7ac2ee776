"""Want of something of our own: no file, port, buffer or thread is free. It says nothing about the other side."""

from __future__ import annotations

import contextlib
import errno
import re
import resource
from typing import Final

FILES_AIMED_AT: Final = 65_536
"""More than all connections at once need; with far more, some programs that replicas run would be slow to start."""
PAUSE_SECONDS: Final = 0.5
PORTS_RETURN_SECONDS: Final = 120

_OURS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EAGAIN}
)
# Of several addresses that were tried, each with an error of its own, only the text tells.
_NUMBER: Final = re.compile(r"\[Errno (\d+)\]")


def is_shortage(error: Exception, *, waited_seconds: float = 0) -> bool:
    """Whether it may go well as soon as something of ours is free again: the other side was not asked.

    That no port is free passes within some minutes; after that, it is the other side's address that cannot be used.
    """
    if not isinstance(error, OSError):
        return False
    numbers = {error.errno} if error.errno is not None else set(map(int, _NUMBER.findall(str(error))))
    return bool(numbers & _OURS) and (
        numbers != {errno.EADDRNOTAVAIL} or waited_seconds < PORTS_RETURN_SECONDS
    )


def raise_file_limit() -> int:
    """Let this process open as many files as it is allowed to, within reason; return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_AIMED_AT if hard == resource.RLIM_INFINITY else min(hard, FILES_AIMED_AT)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # macOS has a limit beyond which it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return FILES_AIMED_AT if soft == resource.RLIM_INFINITY else soft
