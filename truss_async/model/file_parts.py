"""The parts of an output that become files: bytes, images, paths, open files; and what kind of file each is."""

import contextlib
import io
import mimetypes
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from ..errors import OutputError

Place = tuple[str, ...]

UNKNOWN: Final = "application/octet-stream"

# Where in the file, which bytes, and the content type they mean.
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\xff\xf2", "audio/mpeg"),
    (4, b"ftyp", "video/mp4"),
)
_RIFF_SIGNATURES: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}

# Python's own table has no entry, or a surprising one, for these.
_EXTENSIONS: Final = {
    "image/webp": ".webp",
    "audio/wav": ".wav",
    "application/gzip": ".gz",
    UNKNOWN: ".bin",
}

_LONGEST_SIGNATURE: Final = 16
_PNG_MODES: Final = frozenset({"1", "L", "LA", "I;16", "P", "RGB", "RGBA"})
_TIFF_MODES: Final = frozenset({"I", "F", "LAB"})  # a PNG would not hold all that is in them


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


def file_part(value: Any, place: Place) -> FilePart | None:
    """The value, which stands at that place of the output, as a file; None for one that is data."""
    if isinstance(value, FilePart):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return FilePart(data, content_type_of_bytes(data))
    if isinstance(value, Path):
        return _path_part(value, place)
    pillow = sys.modules.get("PIL.Image")  # whoever made an image has imported it
    if pillow is not None and isinstance(value, pillow.Image):
        return _image_part(value)
    if all(hasattr(value, each) for each in ("read", "seek", "closed")):
        return _open_file_part(value, place)
    return None


def content_type_of_bytes(data: bytes) -> str:
    """The content type that the first bytes of a file give away."""
    if data[:4] == b"RIFF":
        return _RIFF_SIGNATURES.get(data[8:12], UNKNOWN)
    for offset, signature, content_type in _SIGNATURES:
        if data.startswith(signature, offset):
            return content_type
    return UNKNOWN


def content_type_of_name(file_name: str) -> str:
    """The content type that a file's extension stands for."""
    content_type, encoding = mimetypes.guess_type(file_name)
    if encoding is not None:
        return f"application/{encoding}"
    return "audio/wav" if content_type == "audio/x-wav" else content_type or UNKNOWN


def extension_of(content_type: str) -> str:
    """The extension, with its dot, of a new file of that content type."""
    return _EXTENSIONS.get(content_type) or mimetypes.guess_extension(content_type) or ".bin"


def _path_part(path: Path, place: Place) -> FilePart:
    if not path.is_file():
        what = "a folder" if path.is_dir() else "missing"
        raise OutputError(
            f"{_spoken(place)} is the path {path}, which is {what}: return the path of a file, or its text"
        )
    return FilePart(path, content_type_of_name(path.name), path.name)


def _image_part(image: Any) -> FilePart:
    file_format = "TIFF" if image.mode in _TIFF_MODES else "PNG"
    as_is = image.mode in _PNG_MODES | _TIFF_MODES
    buffer = io.BytesIO()
    (image if as_is else image.convert("RGB")).save(buffer, format=file_format)
    return FilePart(buffer.getvalue(), f"image/{file_format.lower()}")


def _open_file_part(file: Any, place: Place) -> FilePart:
    """All that is in the open file, wherever it stands; one that cannot go back gives what is left of it.

    It is left open. One that can be read by its name alone is that path.
    """
    if isinstance(file, io.StringIO):
        return FilePart(file.getvalue().encode(), "text/plain")
    if not file.closed and callable(flush := getattr(file, "flush", None)):
        flush()
    file = getattr(file, "buffer", file)  # the bytes below a text
    name = getattr(file, "name", None)
    path = Path(name) if isinstance(name, str) else Path()
    if file.closed and not path.name:
        raise OutputError("a file in the output is closed, and has no name: return it open")
    if path.name and (file.closed or not file.readable()):
        return _path_part(path, place)
    body = _rewound(file)
    has_copy = body is not file
    if path.name:
        return FilePart(body, content_type_of_name(path.name), path.name, has_copy)
    content_type = content_type_of_bytes(body.read(_LONGEST_SIGNATURE))
    body.seek(0)
    return FilePart(body, content_type, None, has_copy)


def _rewound(file: Any) -> BinaryIO:
    try:
        file.seek(0)
    except OSError:
        return _copied(file)
    return cast("BinaryIO", file)


def _copied(file: Any) -> BinaryIO:
    """For a pipe and its like: a write that fails is tried again with the same bytes."""
    with contextlib.ExitStack() as closing:
        copy = closing.enter_context(tempfile.TemporaryFile())
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        closing.pop_all()
    return cast("BinaryIO", copy)


def _spoken(place: Place) -> str:
    return f"the output's part {'.'.join(place)}" if place else "the output"
