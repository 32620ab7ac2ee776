"""The output of a model server, as lines with a level and a request id."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

MAX_LINE_BYTES: Final = 16 * 1024
SHORT_ID_CHARACTERS: Final = 8
_ACCESS_MARK: Final = b'"message": "Handled request'
_MARKED: Final = re.compile(r"\x1d([^\x1d]*)\x1d(.*)", re.DOTALL)
_ROUTINE_MESSAGES: Final = (
    "Using no-op tracing",
    "Started server process",
    "Waiting for application",
    "Executing model.load()",
    "Application startup complete",
    "Application shutdown complete",
    "Uvicorn running on",
    "Loading truss model from file",
    "Completed model.load()",
    "Failed to load model. Retrying",
    "Trying shut down after failed model load",
    "Shutting down",
    "Finished server process",
)
_LEVELS: Final = {"debug", "info", "warning", "error", "critical"}
_LOUD_LEVELS: Final = {"warning", "error", "critical"}


@dataclass(frozen=True)
class ReplicaLogLine:
    """One line that a replica wrote. ``level`` is debug for what the server itself does routinely."""

    replica: str
    message: str
    level: str = "info"
    request_id: str | None = None
    goes_on: bool = False
    """Whether what the replica wrote at once goes on in the next line."""


@dataclass(frozen=True)
class ServerRecord:
    """One line of output, parsed: a log record of the server, or whatever the model printed."""

    message: str
    level: str = "info"
    request_id: str | None = None
    traceback: str | None = None

    def lines(self, replica: str) -> Iterator[ReplicaLogLine]:
        text = self.message if self.traceback is None else f"{self.message}\n{self.traceback}"
        *lines, last = text.splitlines() or [""]
        for line in lines:
            yield ReplicaLogLine(replica, line, self.level, self.request_id, goes_on=True)
        yield ReplicaLogLine(replica, last, self.level, self.request_id)


class LineSplitter:
    """Cuts a stream of bytes into lines, holding back no more than MAX_LINE_BYTES of an endless one."""

    def __init__(self) -> None:
        self._pending = b""
        self._skipping = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
            else:
                yield _shortened(line)
        if self._skipping:
            self._pending = b""
        elif len(self._pending) > MAX_LINE_BYTES:
            yield _shortened(self._pending)
            self._pending, self._skipping = b"", True

    def close(self) -> Iterator[bytes]:
        if self._pending and not self._skipping:
            yield _shortened(self._pending)
        self._pending, self._skipping = b"", False


def _shortened(line: bytes) -> bytes:
    return line if len(line) <= MAX_LINE_BYTES else line[:MAX_LINE_BYTES] + " … (line cut)".encode()


def parse_line(line: bytes) -> ServerRecord | None:
    """Make sense of one line; None when it is the server's note of a request, or blank."""
    if _ACCESS_MARK in line:
        return None
    text = line.decode(errors="replace").rstrip("\r")
    request_id = None
    if marked := _MARKED.match(text):  # by the launcher
        request_id, text = marked.groups()
    text = text[text.rfind("\r") + 1 :]  # a progress bar: what a terminal would show in the end
    if text.startswith('{"') and (record := _parse_server_record(text)) is not None:
        return record
    return ServerRecord(text, request_id=request_id) if text.strip() else None


def _parse_server_record(text: str) -> ServerRecord | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict) or not {"asctime", "levelname", "message"} <= fields.keys():
        return None  # the model's own JSON
    message = str(fields["message"])
    level = str(fields["levelname"]).lower()
    if level in ("info", "warning") and message.startswith(_ROUTINE_MESSAGES):
        level = "debug"
    request_id, traceback = fields.get("request_id"), fields.get("exc_info")
    return ServerRecord(
        message,
        level if level in _LEVELS else "info",
        request_id if isinstance(request_id, str) else None,
        traceback if isinstance(traceback, str) else None,
    )


def render_log_line(line: ReplicaLogLine, *, now: datetime, as_id: Callable[[str], str] = str) -> str:
    """``12:00:01 replica-1 [3f2a91bc] message``, in local time; warnings and worse say so."""
    parts = [now.astimezone().strftime("%H:%M:%S"), line.replica]
    if line.request_id:
        parts.append(f"[{as_id(line.request_id)}]")
    if line.level in _LOUD_LEVELS:
        parts.append(line.level.upper())
    return " ".join([*parts, line.message])


def short_id(request_id: str) -> str:
    """For a terminal: so much of an id as tells it from the others, and can be given in its place."""
    return request_id[:SHORT_ID_CHARACTERS]
