"""Keeps secrets out of the process list: everybody on the machine can read what a process was called with."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

OPTIONS: Final = ("--webhook-secret", "--api-key", "--relay-key")
VARIABLE: Final = re.compile(r"TRUSS_ASYNC_(\w+_)?(WEBHOOK_SECRETS?|API_KEY|RELAY_KEY)")
"""Which the same user can read, such as the model that is served; a command's name may stand in it."""
_MASK: Final = ord("*")
# Fields of /proc/self/stat, counted from the one after the name.
_BEGINS: Final = (45, 47)
_ENDS: Final = (46, 48)


def mask_secrets(arguments: Sequence[str]) -> None:
    """Let this process no longer be seen with the secrets that it was started with; what it was told, it knows.

    Where the system has no way, secrets on the command line are warned of.
    """
    on_command_line = any(word.partition("=")[0] in OPTIONS for word in arguments)
    if not on_command_line and not any(map(VARIABLE.fullmatch, os.environ)):
        return
    try:
        begin, end = _place()
        import ctypes

        for first, last in _secret_spans(ctypes.string_at(begin, end - begin)):
            ctypes.memset(begin + first, _MASK, last - first)
    except (OSError, ValueError, IndexError, ImportError):
        if on_command_line:
            print(
                f"truss-async: warning: what {' and '.join(OPTIONS)} are given can be read in the list of processes; "
                "give --webhook-secret-file, --api-key-file, or their variables",
                file=sys.stderr,
            )


def _place() -> tuple[int, int]:
    """Where in memory the system reads arguments and environment, which lie one behind the other."""
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    begin, end = min(int(fields[each]) for each in _BEGINS), max(int(fields[each]) for each in _ENDS)
    if not 0 < begin < end:
        raise ValueError("the system does not tell")
    return begin, end


def _secret_spans(memory: bytes) -> Iterator[tuple[int, int]]:
    """First and last place of each secret, of an option or a variable."""
    position, is_value = 0, False
    for word in memory.split(b"\0"):
        name, is_both, _ = word.partition(b"=")
        end = position + len(word)
        text = name.decode(errors="replace")
        if is_value:
            yield position, end
        elif is_both and (text in OPTIONS or VARIABLE.fullmatch(text)):
            yield position + len(name) + 1, end
        is_value = not is_value and not is_both and text in OPTIONS
        position = end + 1
