from __future__ import annotations

import pytest

from truss_async.contract.content_types import content_type_of_bytes, content_type_of_name, extension_of

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
    (b"\x00\x00\x00\x1cftypisom", "video/mp4", ".mp4"),
    (b"\x00\x00\x00\x1cftypM4A ", "audio/mp4", ".m4a"),
    (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime", ".mov"),
    (b"\x00\x00\x00\x1cftypavif", "image/avif", ".avif"),
    (b"\x00\x00\x00\x1cftypheic", "image/heic", ".heic"),
    (b"\x00\x00\x00\x1cftypmif1\0\0\0\0mif1avifmiaf", "image/avif", ".avif"),
    (b"\x00\x00\x00\x18ftypmif1\0\0\0\0mif1heic", "image/heic", ".heic"),
    (b"\x00\x00\x00\x14ftypmif1\0\0\0\0mif1heic", "image/heif", ".heif"),
    (b"\x00\x00\x00\x1cftyp3gp5", "video/3gpp", ".3gp"),
    (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x84webm", "video/webm", ".webm"),
    (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\x82\x88matroska", "video/x-matroska", ".mkv"),
    (b"OggS\0\x02" + bytes(22) + b"\x01\x1e\x01vorbis", "audio/ogg", ".ogg"),
    (b"OggS\0\x02" + bytes(22) + b"\x01\x13OpusHead", "audio/opus", ".opus"),
    (b"OggS\0\x02" + bytes(22) + b"\x01\x2a\x80theora", "video/ogg", ".ogv"),
    (b"fLaC\0\0\0\x22", "audio/flac", ".flac"),
    (b"FORM\0\0\0\0AIFF", "audio/aiff", ".aiff"),
    (b"\xff\xf1\x50\x80", "audio/aac", ".aac"),
    (b"\xff\xfa\x90\xc4", "audio/mpeg", ".mp3"),
    (b"\xff\xfe\xff\xfe", "application/octet-stream", ".bin"),
    (b"\xff\xff\xff\xff", "application/octet-stream", ".bin"),
    (b"\x93NUMPY\x01\0", "application/x-npy", ".npy"),
    (b"PAR1\x15\x04", "application/vnd.apache.parquet", ".parquet"),
    (b"II*\0....", "image/tiff", ".tiff"),
    (b"BM\x36\0\0\0\0\0\0\0", "image/bmp", ".bmp"),
    (b"glTF\x02\0\0\0", "model/gltf-binary", ".glb"),
    (bytes(257) + b"ustar\x00", "application/x-tar", ".tar"),
    (b"\x28\xb5\x2f\xfd", "application/zstd", ".zst"),
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
        ("clip.mov", "video/quicktime"),
        ("photo.HEIC", "image/heic"),
        ("voice.m4a", "audio/mp4"),
        ("table.parquet", "application/vnd.apache.parquet"),
        ("结果.webm", "video/webm"),
    ],
)
def test_files_are_known_by_their_extension(name: str, content_type: str) -> None:
    assert content_type_of_name(name) == content_type
