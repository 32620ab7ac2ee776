from __future__ import annotations

import pytest

from truss_async.model.content_types import content_type_of_bytes, content_type_of_name, extension_of

KINDS = [
    (b"\x89PNG\r\n\x1a\n....", "image/png", ".png"),
    (b"\xff\xd8\xff\xe0....", "image/jpeg", ".jpg"),
    (b"GIF87a....", "image/gif", ".gif"),
    (b"GIF89a....", "image/gif", ".gif"),
    (b"RIFF\x00\x00\x00\x00WEBP", "image/webp", ".webp"),
    (b"RIFF\x00\x00\x00\x00WAVE", "audio/wav", ".wav"),
    (b"RIFF\x00\x00\x00\x00AVI ", "video/x-msvideo", ".avi"),
    (b"RIFF\x00\x00\x00\x00????", "application/octet-stream", ".bin"),
    (b"%PDF-1.7", "application/pdf", ".pdf"),
    (b"PK\x03\x04....", "application/zip", ".zip"),
    (b"\x1f\x8b\x08....", "application/gzip", ".gz"),
    (b"ID3\x04....", "audio/mpeg", ".mp3"),
    (b"\xff\xfb\x90....", "audio/mpeg", ".mp3"),
    (b"\x00\x00\x00\x18ftypmp42", "video/mp4", ".mp4"),
    (b"", "application/octet-stream", ".bin"),
    (b"anything", "application/octet-stream", ".bin"),
]


@pytest.mark.parametrize(("data", "content_type", "extension"), KINDS)
def test_bytes_are_known_by_how_they_begin(data: bytes, content_type: str, extension: str) -> None:
    assert content_type_of_bytes(data) == content_type
    assert extension_of(content_type) == extension


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.PNG", "image/png"),
        ("voice.wav", "audio/wav"),
        ("data.json", "application/json"),
        ("all.tar.gz", "application/gzip"),
        ("weights.safetensors", "application/octet-stream"),
        ("noextension", "application/octet-stream"),
    ],
)
def test_files_are_known_by_their_extension(name: str, content_type: str) -> None:
    assert content_type_of_name(name) == content_type
