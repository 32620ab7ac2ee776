"""What every object store can do. Synchronous, and safe to share between threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Protocol

if TYPE_CHECKING:
    from typing import TypeAlias

    Body: TypeAlias = bytes | Path | BinaryIO

NO_METADATA: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ObjectInfo:
    """What a store knows of one object. A listing may leave out content type, content encoding and metadata."""

    key: str
    size_bytes: int
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    modified_at: datetime | None = None
    content_encoding: str | None = None


class ObjectStore(Protocol):
    """Objects below one prefix, named by keys relative to it.

    Every failure is an OutputStoreError that says what failed, on which URL, and the remedy. A key that could leave
    the prefix is refused with an UnsafeObjectKeyError.
    """

    @property
    def has_conditional_puts(self) -> bool:
        """Whether ``only_if_absent`` holds when others write at the same time."""

    @property
    def url(self) -> str:
        """The prefix: no trailing slash, no credentials."""

    def put(
        self,
        key: str,
        body: Body,
        *,
        content_type: str,
        content_encoding: str | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
        only_if_absent: bool = False,
    ) -> None:
        """Write the whole object or nothing; an object of that key is replaced.

        A file is read from where it stands, and left open. ``content_encoding`` says how the body is compressed
        already. With ``only_if_absent``, an object of that key stays, and ObjectExistsError is raised; of several that
        write at once, one succeeds. An object with the same ``attempt-id`` in its metadata is this call's own.
        """

    def open(self, key: str) -> BinaryIO:
        """The object's bytes as they were put, to read and close; ObjectNotFoundError when there is none."""

    def head(self, key: str) -> ObjectInfo:
        """What is known of the object; ObjectNotFoundError when there is none."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose key starts with the prefix, in no promised order."""

    def delete(self, key: str) -> None:
        """Remove the object; that there is none is fine."""

    def presign(self, key: str, *, expires_in: timedelta) -> str:
        """A URL from which anybody can GET the object until then, without credentials; made without asking the store.

        OutputStoreError when the store, or what it signs in with, cannot make one.
        """
