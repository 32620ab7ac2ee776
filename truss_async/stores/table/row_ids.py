"""``ids/hour=….ids``: a few bytes for each row of a file, which tell whether it holds a request, without reading the file."""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from ...errors import ObjectNotFoundError

if TYPE_CHECKING:
    from ..protocol import ObjectStore

MOST_COMPARED: Final = 1_000_000
"""Requests that are compared with rows by these bytes: they are held in memory. Of more, the files are read."""

_BYTES: Final = 8
_CONTENT_TYPE: Final = "application/octet-stream"


class RowIds:
    """The requests of one file, shortened. Two that are taken for one cost a look into the file, and no more."""

    def __init__(self) -> None:
        self._ids = array("Q")

    def add(self, request_ids: Iterable[str]) -> None:
        self._ids.extend(map(shortened, request_ids))

    @property
    def content(self) -> bytes:
        """As it is stored: eight bytes each, the lowest first."""
        return _little_endian(self._ids).tobytes()


def shortened(request_id: str) -> int:
    """A number of 64 bits that hardly another request has."""
    return int.from_bytes(hashlib.blake2b(request_id.encode(), digest_size=_BYTES).digest(), "little")


def ids_key(partition: str) -> str:
    """Where they lie: not among the files, as readers take those for rows."""
    return f"ids/{partition}.ids"


def write_ids(table: ObjectStore, partition: str, ids: RowIds) -> str:
    """Store them; what tells later whether they are still those."""
    content = ids.content
    table.put(ids_key(partition), content, content_type=_CONTENT_TYPE)
    return digest_of(content)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def holds_none_of(table: ObjectStore, partition: str, asked: set[int], *, digest: str) -> bool:
    """Whether the file has certainly no row of these requests; False when nobody can tell without reading it."""
    try:
        with table.open(ids_key(partition)) as file:
            content = file.read()
    except ObjectNotFoundError:
        return False
    if digest_of(content) != digest:
        return False
    ids = array("Q")
    ids.frombytes(content)
    return asked.isdisjoint(_little_endian(ids))


def _little_endian(ids: array[int]) -> array[int]:
    if sys.byteorder == "big":
        ids = array("Q", ids)
        ids.byteswap()
    return ids
