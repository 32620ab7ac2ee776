"""``manifest.json``: what a table holds, for people and tools; and for the next compaction, what it may pass over."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import InvalidResultError, ObjectNotFoundError

if TYPE_CHECKING:
    from ..protocol import ObjectStore

KEY: Final = "manifest.json"


class TableFile(BaseModel):
    """One Parquet file. ``seen`` and ``objects`` are what the store held when it was written; no ``seen``: look again.

    ``ids`` tells whether the short ids beside the file are those of its rows.
    """

    model_config = ConfigDict(extra="allow")

    key: str
    rows: int
    failed: int
    damaged: int
    size_bytes: int
    objects: int
    seen: str | None
    ids: str | None = None


class Manifest(BaseModel):
    """All of them, by partition. The files are the truth: one that is not here may be there."""

    model_config = ConfigDict(extra="allow")

    version: Literal[1] = 1
    source: str = Field(description="The store whose results these are.")
    span: Literal["hour", "day"]
    written_at: datetime
    files: dict[str, TableFile] = Field(default={})

    @property
    def rows(self) -> int:
        """In all files."""
        return sum(file.rows for file in self.files.values())


def read_manifest(table: ObjectStore) -> Manifest | None:
    """What the table says of itself; None when it is none.

    Raises:
        InvalidResultError: there is a manifest.json of something else.
    """
    try:
        with table.open(KEY) as file:
            text = file.read()
    except ObjectNotFoundError:
        return None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError:
        raise InvalidResultError(
            f"{table.url}/{KEY} is not the manifest of a table of results; compact into another folder"
        ) from None


def write_manifest(table: ObjectStore, manifest: Manifest) -> None:
    """Put it in the place of the one before."""
    text = manifest.model_dump_json(indent=2).encode()
    table.put(KEY, text, content_type="application/json")
