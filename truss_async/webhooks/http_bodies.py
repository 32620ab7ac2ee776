"""Reading an HTTP/1.1 request from a socket: in time, as far as allowed, whether its length is announced or not."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

from ..clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    import socket

_PIECE_BYTES: Final = 1 << 20
_MAX_LINE_BYTES: Final = 4096
_MAX_TRAILER_BYTES: Final = 65536
# Without leading zeros to no end; what follows the semicolon is for nobody here.
_CHUNK_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class BadRequestError(Exception):
    """What arrives is no request that can be taken; with the status to answer."""

    def __init__(self, status_code: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status_code


class CutOffError(Exception):
    """The sender has gone in the middle of the request."""


class TooSlowError(Exception):
    """The request did not arrive in time; ``has_begun`` tells whether any of it did."""

    def __init__(self, *, has_begun: bool) -> None:
        super().__init__("the request did not arrive in time")
        self.has_begun = has_begun


class TimedReader(io.RawIOBase):
    """Reads from a socket: a request that has begun has so many seconds in all, however it drips in."""

    def __init__(self, connection: socket.socket, *, idle_seconds: float, request_seconds: float) -> None:
        super().__init__()
        self._connection = connection
        self._idle_seconds = idle_seconds
        self._request_seconds = request_seconds
        self.await_request()

    def await_request(self) -> None:
        """The request before is over: another one may begin, within the idle seconds."""
        self._has_begun = False
        self._deadline = SYSTEM_CLOCK.monotonic() + self._idle_seconds

    def drain(self, seconds: float) -> None:
        """Read what still comes, to its end, and drop it.

        Raises:
            TooSlowError: it has not ended after so many seconds.
        """
        self._has_begun, self._deadline = True, SYSTEM_CLOCK.monotonic() + seconds
        nowhere = memoryview(bytearray(_PIECE_BYTES))
        while self.readinto(nowhere):
            pass

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        left = self._deadline - SYSTEM_CLOCK.monotonic()
        if left <= 0:
            raise TooSlowError(has_begun=self._has_begun)
        self._connection.settimeout(left)
        try:
            count = self._connection.recv_into(buffer)
        except TimeoutError:
            raise TooSlowError(has_begun=self._has_begun) from None
        if count and not self._has_begun:
            self._has_begun = True
            self._deadline = SYSTEM_CLOCK.monotonic() + self._request_seconds
        return count


def read_announced(file: io.BufferedIOBase, size: int) -> bytes:
    """A body of that length. In pieces: memory grows with what arrives, not with what was announced."""
    body = bytearray()
    while len(body) < size:
        body += _some(file, size - len(body))
    return bytes(body)


def read_chunked(file: io.BufferedIOBase, *, limit: int) -> bytes:
    """A body in chunks, and the trailers after it, which are dropped.

    Raises:
        BadRequestError: 413, over the limit; 400, these are no chunks; 431, endless trailers.
    """
    body = bytearray()
    while size := _chunk_size(file):
        if len(body) + size > limit:
            raise BadRequestError(413, f"the body exceeds {limit} bytes")
        end = len(body) + size
        while len(body) < end:
            body += _some(file, end - len(body))
        if file.read(2) != b"\r\n":
            raise BadRequestError(400, "a chunk of the body has the wrong length")
    _skip_trailers(file)
    return bytes(body)


def _some(file: io.BufferedIOBase, size: int) -> bytes:
    piece = file.read(min(size, _PIECE_BYTES))
    if not piece:
        raise CutOffError
    return piece


def _chunk_size(file: io.BufferedIOBase) -> int:
    line = file.readline(_MAX_LINE_BYTES)
    if not line:
        raise CutOffError
    found = _CHUNK_SIZE.fullmatch(line)
    if found is None:
        raise BadRequestError(400, "the body is not in chunks, as Transfer-Encoding says")
    return int(found[1], 16)


def _skip_trailers(file: io.BufferedIOBase) -> None:
    skipped = 0
    while (line := file.readline(_MAX_TRAILER_BYTES)) != b"\r\n":
        skipped += len(line)
        if not line:
            raise CutOffError
        if not line.endswith(b"\r\n") or skipped > _MAX_TRAILER_BYTES:
            raise BadRequestError(431, "the trailers after the body are too long, or none")
