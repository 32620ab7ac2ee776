"""Reading server-sent events, as far as a relay sends them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...contract.limits import MAX_BODY_BYTES

_MOST_BYTES: Final = 2 * MAX_BODY_BYTES


class EventTooLargeError(Exception):
    """What comes is no event of a relay: it does not end."""


@dataclass
class EventReader:
    """Takes bytes as they come, and gives events once they are whole. Comments, and what is unknown, are left out."""

    _rest: bytearray = field(default_factory=bytearray)
    _name: bytes = b""
    _data: list[bytes] = field(default_factory=list)
    _size: int = 0

    def feed(self, piece: bytes) -> list[tuple[str, bytes]]:
        """The events that are whole by now: name and data.

        Raises:
            EventTooLargeError: one is larger than any result.
        """
        found: list[tuple[str, bytes]] = []
        # A line that is long comes in many pieces: only its end is looked for anew.
        seen = len(self._rest)
        self._rest += piece
        start = 0
        while (end := self._rest.find(b"\n", max(start, seen))) >= 0:
            self._take(bytes(self._rest[start:end]).removesuffix(b"\r"), found)
            start = end + 1
        del self._rest[:start]
        if len(self._rest) + self._size > _MOST_BYTES:
            raise EventTooLargeError
        return found

    def _take(self, line: bytes, found: list[tuple[str, bytes]]) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if self._data:
                found.append((self._name.decode("utf-8", "replace"), b"\n".join(self._data)))
            self._name, self._data, self._size = b"", [], 0
        elif name == b"event":
            self._name = value
        elif name == b"data":
            self._data.append(value)
            self._size += len(value)
