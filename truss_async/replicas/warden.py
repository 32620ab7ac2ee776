"""What this process started ends with it, however it ends: a small process of its own sees to that."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from ..printable import printable_logger

_PROGRAM: Final = Path(__file__).with_name("warden_process.py")
_MOST_DEATHS: Final = 20

_LOG: Final = printable_logger(__name__)


class Warden:
    """Knows the process groups that are to end with this process. Usable from any thread.

    Its process runs while there are any. It is started again when somebody kills it, for the groups are nobody's then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._groups: set[int] = set()
        self._process: subprocess.Popen[str] | None = None
        self._deaths = 0
        os.register_at_fork(after_in_child=self._leave_to_parent)

    @property
    def pid(self) -> int | None:
        """Its process, while there is one."""
        with self._lock:
            return None if self._process is None else self._process.pid

    def watch(self, group: int) -> None:
        """End the group with this process."""
        with self._lock:
            self._groups.add(group)
            if self._process is None:
                self._start()
            else:
                self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """The group has ended. Harmless for one that is not watched."""
        with self._lock:
            if group not in self._groups:
                return
            self._groups.discard(group)
            self._tell(f"-{group}")
            if not self._groups:
                self._dismiss()

    def _start(self) -> None:
        command = [sys.executable, "-I", "-S", str(_PROGRAM)]
        silent = subprocess.DEVNULL
        process = self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=silent, stderr=silent, text=True, start_new_session=True
        )
        for group in self._groups:
            self._tell(f"+{group}")
        threading.Thread(target=self._outlast, args=(process,), name="warden", daemon=True).start()

    def _outlast(self, process: subprocess.Popen[str]) -> None:
        status = process.wait()
        with self._lock:
            if self._process is not process:
                return  # it was dismissed
            self._dismiss()
            self._deaths += 1
            if self._deaths > _MOST_DEATHS:
                _LOG.error(
                    "the process that stops replicas when this one is killed has exited (status %s)", status
                )
                return
            try:
                self._start()
            except (OSError, RuntimeError) as error:  # no process, no pipe, no thread more
                _LOG.error(
                    "the process that stops replicas when this one is killed cannot be restarted: %s", error
                )

    def _dismiss(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process = None

    def _tell(self, line: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):  # killed; the next one is told all
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()

    def _leave_to_parent(self) -> None:
        """In a forked process: the groups are none of its business, and its end of the pipe would hide the parent's end."""
        self._lock = threading.Lock()
        self._groups = set()
        if self._process is not None and self._process.stdin is not None:
            os.close(self._process.stdin.fileno())
        self._process = None


WARDEN: Final = Warden()
