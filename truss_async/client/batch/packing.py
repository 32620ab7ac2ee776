"""Files that are compressed, or Parquet, by the ends of their names."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ...errors import MissingExtraError
from .parquet_lines import PARQUET, parquet_lines

if TYPE_CHECKING:
    from typing import BinaryIO

_MODULES: Final = {
    ".gz": ("gzip",),
    ".bz2": ("bz2",),
    ".xz": ("lzma",),
    ".zst": ("compression.zstd", "backports.zstd"),
}


def is_packed(location: str) -> bool:
    """Whether the name says that the file holds its lines in another form."""
    return location.endswith((*_MODULES, PARQUET))


@contextmanager
def packed(file: BinaryIO, location: str, mode: str) -> Iterator[BinaryIO]:
    """What is read is unpacked, what is written packed, as the name says; the file itself is left open.

    Raises:
        ValueError: what is read is damaged.
        MissingExtraError: the library for it is not installed.
    """
    suffix = PurePosixPath(location).suffix
    if suffix == PARQUET:
        with parquet_lines(file, mode) as lines:
            yield lines
        return
    if suffix not in _MODULES:
        yield file
        return
    module = _module(suffix)
    damage = (zlib.error, getattr(module, "LZMAError", zlib.error), getattr(module, "ZstdError", zlib.error))
    try:
        with module.open(file, mode) as through:
            yield through
    except damage as error:
        raise ValueError(f"it is no whole {suffix} file: {error}") from None


def _module(suffix: str) -> Any:
    for name in _MODULES[suffix]:
        try:
            return import_module(name)
        except ImportError:
            continue
    raise MissingExtraError("backports.zstd", extra="zstd", purpose=f"{suffix} files")
