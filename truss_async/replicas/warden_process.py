"""Ends process groups once whoever started this process has ended, even by SIGKILL.

Run by itself, with the standard library alone: standard input says ``+PGID`` of each group that is to end then, and
``-PGID`` when it has ended before; where the input ends, so does its writer.
"""

import contextlib
import os
import signal
import sys


def main() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
