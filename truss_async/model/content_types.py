"""What kind of file some bytes, or a file name, are."""

import mimetypes
from typing import Final

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
    return _wav(content_type) or UNKNOWN


def extension_of(content_type: str) -> str:
    """The extension, with its dot, of a new file of that content type."""
    return _EXTENSIONS.get(content_type) or mimetypes.guess_extension(content_type) or ".bin"


def _wav(content_type: str | None) -> str | None:
    return "audio/wav" if content_type == "audio/x-wav" else content_type
