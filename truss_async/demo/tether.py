"""Run a command that ends when whoever started this script ends, even by SIGKILL.

``python tether.py GRACE_SECONDS PATH:PATH… COMMAND…``: standard input is the tether. When it closes, the command
gets SIGTERM and, after the grace, SIGKILL (at once when the grace is 0), and the scratch paths are removed. The
exit code is the command's own. This file runs alone, with the standard library only.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path


def _cut_with(process: "subprocess.Popen[bytes]", grace_seconds: float, cut: threading.Event) -> None:
    # Not through sys.stdin: its lock, held here, would abort the interpreter's shutdown.
    with contextlib.suppress(OSError):  # what cannot be read any more is cut, too
        while os.read(0, 1024):
            pass
    cut.set()
    if grace_seconds > 0:
        process.terminate()
        try:
            process.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
    process.kill()


def remove(paths: list[str]) -> None:
    """Remove files and folders, present or not."""
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            Path(path).unlink()


def main(grace_seconds: float, scratch: list[str], command: list[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    cut = threading.Event()
    threading.Thread(target=_cut_with, args=(process, grace_seconds, cut), daemon=True).start()
    code = process.wait()
    if cut.is_set():
        remove(scratch)
    return code


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2].split(os.pathsep), sys.argv[3:]))
