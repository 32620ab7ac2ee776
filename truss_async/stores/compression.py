"""How result objects are compressed. They are read back whatever they are."""

from __future__ import annotations

import gzip
import zlib
from importlib import import_module
from typing import Any, Final, Literal, TypeAlias

from ..errors import MissingExtraError

Compression: TypeAlias = Literal["none", "gzip", "zstd"]

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_LEVEL: Final = 6  # nine takes three times as long, for two percent
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"


def check_compression(compression: str) -> None:
    """MissingExtraError, with the line to install it, when the library for it is missing."""
    if compression == "zstd":
        _zstd()


def compressed(body: bytes, compression: Compression) -> bytes:
    """The body, compressed; the same body always gives the same bytes."""
    if compression == "zstd":
        done: bytes = _zstd().compress(body)
        return done
    return gzip.compress(body, _GZIP_LEVEL, mtime=0) if compression == "gzip" else body


def decompressed(body: bytes) -> bytes:
    """What was compressed, or the body itself if it is not; ValueError when it is cut off or damaged."""
    # By their first bytes, which every store keeps, and which no JSON starts with.
    if body.startswith(_GZIP_MAGIC):
        try:
            return gzip.decompress(body)
        except (OSError, EOFError, zlib.error):
            raise ValueError("no whole gzip file") from None
    if body.startswith(_ZSTD_MAGIC):
        zstd = _zstd()
        try:
            done: bytes = zstd.decompress(body)
        except zstd.ZstdError:
            raise ValueError("no whole zstd frame") from None
        return done
    return body


def _zstd() -> Any:
    """Python's own from 3.14 on, else the package that brings the same to earlier ones."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingExtraError("backports.zstd", extra="zstd", purpose="compression with zstd")
