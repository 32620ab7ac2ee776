"""The parts of an output that become files: bytes, images, paths, open files."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from ..contract.content_types import LONGEST_SIGNATURE, UNKNOWN, content_type_of_bytes, content_type_of_name
from . import open_files
from .images import image_file, is_image
from .places import UnfitPartError


@dataclass(frozen=True)
class FilePart:
    """A part of an output that becomes a file; ``name`` is None where only its place in the output names it.

    One with a copy of its own is to be closed.
    """

    body: bytes | Path | BinaryIO
    content_type: str
    name: str | None = None
    has_copy: bool = False

    def close(self) -> None:
        """Let go of the copy, if there is one."""
        if self.has_copy and not isinstance(self.body, bytes | Path):
            self.body.close()


def file_part(value: Any) -> FilePart | None:
    """The value as a file; None for one that is data. What is wrong with a file is an UnfitPartError."""
    if isinstance(value, FilePart):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return FilePart(data, content_type_of_bytes(data))
    if isinstance(value, Path):
        return _path_part(value)
    if is_image(value):
        data, content_type = image_file(value)
        return FilePart(data, content_type)
    return _open_file_part(value) if open_files.is_open_file(value) else None


def _path_part(path: Path) -> FilePart:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no regular file" if path.exists() else "missing"
        raise UnfitPartError(
            f"is the path {path}, which is {what}: return the path of a file, or str if it is not meant as a file"
        )
    with path.open("rb") as file:
        content_type = _type_of(file, path.name)
    return FilePart(path, content_type, path.name)


def _open_file_part(file: Any) -> FilePart:
    if isinstance(file, io.StringIO):
        return FilePart(file.getvalue().encode(errors="replace"), "text/plain")
    file = open_files.bare_file(file)
    path = open_files.path_of(file)
    is_closed = open_files.closed_state(file)
    if is_closed or open_files.is_write_only(file):
        # It can be read by its name alone; what packs what is written ends a file only when it is closed.
        if path is not None and (is_closed or open_files.is_of_the_system(file)):
            return _path_part(path)
        raise UnfitPartError(
            "is a closed file without a name; return it open"
            if is_closed
            else "is a file that is open for writing only: return its path, or close it first"
        )
    body = open_files.rewound(file)
    name = None if path is None else open_files.unpacked_name(file, path)
    return FilePart(body, _type_of(body, name), name, has_copy=body is not file)


def _type_of(body: BinaryIO, name: str | None) -> str:
    content_type = UNKNOWN if name is None else content_type_of_name(name)
    if content_type == UNKNOWN:
        content_type = content_type_of_bytes(body.read(LONGEST_SIGNATURE))
        body.seek(0)
    return content_type
