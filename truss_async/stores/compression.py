"""Compression of result objects. They are read back whatever they are."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Literal, Protocol, TypeAlias

from ..errors import InvalidResultError, MissingExtraError

Compression: TypeAlias = Literal["none", "gzip", "zstd"]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_LEVEL: Final = 6  # nine takes three times as long, for two percent
_GZIP_ONLY: Final = 16 + zlib.MAX_WBITS
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_MEBIBYTE: Final = 1024 * 1024

LARGEST_UNPACKED_BYTES: Final = 256 * _MEBIBYTE
"""What is larger is stored as it is, and not unpacked: a small object could fill any memory."""


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def check_compression(compression: str) -> None:
    """MissingExtraError, with the line to install it, when the library for it is missing."""
    if compression == "zstd":
        _zstd()


def compression_for(body: bytes, compression: Compression) -> Compression:
    """That, or none for a body that would not be unpacked again."""
    return compression if len(body) <= LARGEST_UNPACKED_BYTES else "none"


def compressed(body: bytes, compression: Compression) -> bytes:
    """The body, compressed; the same body always gives the same bytes."""
    if compression == "zstd":
        done: bytes = _zstd().compress(body)
        return done
    return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compression == "gzip" else body


def decompressed(body: bytes, *, limit: int = LARGEST_UNPACKED_BYTES) -> bytes:
    """What was compressed, or the body itself if it is not.

    ValueError when it is cut off or damaged, InvalidResultError when it unpacks to more bytes than the limit.
    """
    # By their first bytes, which every store keeps, and which no JSON starts with.
    if body.startswith(_GZIP_MAGIC):
        try:
            return _unpacked(body, lambda: zlib.decompressobj(wbits=_GZIP_ONLY), limit=limit)
        except (EOFError, zlib.error):
            raise ValueError("not a complete gzip file") from None
    if body.startswith(_ZSTD_MAGIC):
        zstd = _zstd()
        try:
            return _unpacked(body, zstd.ZstdDecompressor, limit=limit)
        except (EOFError, zstd.ZstdError):
            raise ValueError("not a complete zstd frame") from None
    return body


def _unpacked(body: bytes, make: Callable[[], _Unpacker], *, limit: int) -> bytes:
    """All members or frames of the body, which may be several; EOFError when the last one is cut off."""
    done = bytearray()
    while body:
        unpacker = make()
        # One byte more than may be tells that there is more.
        done += unpacker.decompress(body, limit - len(done) + 1)
        if len(done) > limit:
            raise InvalidResultError(f"it unpacks to more than {limit // _MEBIBYTE} MiB, the maximum")
        if not unpacker.eof:
            raise EOFError
        body = unpacker.unused_data.lstrip(b"\0")  # gzip files may be padded
    return bytes(done)


def _zstd() -> Any:
    """Python's own from 3.14 on, else the package that brings the same to earlier ones."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingExtraError("backports.zstd", extra="zstd", purpose="compression with zstd")
