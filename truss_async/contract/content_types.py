"""What kind of file something is: by its first bytes, or by its name."""

import mimetypes
from typing import Final

UNKNOWN: Final = "application/octet-stream"

LONGEST_SIGNATURE: Final = 265  # a tar file says what it is at its 257th byte

# Where in the file, which bytes, and the content type they mean.
_SIGNATURES: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"),
    (0, b"II*\x00", "image/tiff"),
    (0, b"MM\x00*", "image/tiff"),
    (0, b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl"),
    (0, b"\x00\x00\x00\x0cjP  \r\n\x87\n", "image/jp2"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"v/1\x01", "image/x-exr"),
    (0, b"%PDF-", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
    (0, b"PK\x05\x06", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"),
    (0, b"\x28\xb5\x2f\xfd", "application/zstd"),
    (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\x00", "application/x-xz"),
    (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (257, b"ustar", "application/x-tar"),
    (0, b"\x93NUMPY", "application/x-npy"),
    (0, b"PAR1", "application/vnd.apache.parquet"),
    (0, b"ARROW1\x00\x00", "application/vnd.apache.arrow.file"),
    (0, b"\x89HDF\r\n\x1a\n", "application/x-hdf5"),
    (0, b"SQLite format 3\x00", "application/vnd.sqlite3"),
    (0, b"glTF", "model/gltf-binary"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"#!AMR", "audio/amr"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\x00\x00\x01\xba", "video/mpeg"),
    (0, b"\x00\x00\x01\xb3", "video/mpeg"),
    (0, b"wOFF", "font/woff"),
    (0, b"wOF2", "font/woff2"),
)
# At the eighth byte of a RIFF file, and of an AIFF one.
_RIFF_SIGNATURES: Final = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_FORM_SIGNATURES: Final = {b"AIFF": "audio/aiff", b"AIFC": "audio/aiff"}
# After ``ftyp``: the major brand of an ISO media file. Any other is a video.
_BRANDS: Final = {
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"heim": "image/heic",
    b"heis": "image/heic",
    b"hevc": "image/heic-sequence",
    b"hevx": "image/heic-sequence",
    b"mif1": "image/heif",
    b"msf1": "image/heif-sequence",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"F4A ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"M4V ": "video/x-m4v",
    b"3gp": "video/3gpp",
    b"3g2": "video/3gpp2",
    b"crx ": "image/x-canon-cr3",
}
# A HEIF file of one of these is more than HEIF: its compatible brands say what.
_COMPATIBLE: Final = {"image/heif": (b"avif", b"heic"), "image/heif-sequence": (b"avis", b"hevc")}
_MATROSKA: Final = b"\x1aE\xdf\xa3"
_ADTS_AND_MPEG: Final = ((0xFFF6, 0xFFF0, "audio/aac"), (0xFFE0, 0xFFE0, "audio/mpeg"))

# Python's own table has no entry, or a surprising one, for these; and it is not the same in each version.
_EXTENSIONS: Final = {
    "image/webp": ".webp",
    "image/tiff": ".tiff",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heic-sequence": ".heics",
    "image/heif": ".heif",
    "image/heif-sequence": ".heifs",
    "image/jxl": ".jxl",
    "image/jp2": ".jp2",
    "image/bmp": ".bmp",
    "image/vnd.adobe.photoshop": ".psd",
    "image/x-exr": ".exr",
    "image/x-canon-cr3": ".cr3",
    "audio/wav": ".wav",
    "audio/mp4": ".m4a",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/opus": ".opus",
    "audio/aac": ".aac",
    "audio/aiff": ".aiff",
    "audio/amr": ".amr",
    "audio/midi": ".mid",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "video/quicktime": ".mov",
    "video/x-m4v": ".m4v",
    "video/3gpp": ".3gp",
    "video/3gpp2": ".3g2",
    "video/ogg": ".ogv",
    "video/x-flv": ".flv",
    "video/x-msvideo": ".avi",
    "application/gzip": ".gz",
    "application/zstd": ".zst",
    "application/x-bzip2": ".bz2",
    "application/x-xz": ".xz",
    "application/x-7z-compressed": ".7z",
    "application/x-npy": ".npy",
    "application/vnd.apache.parquet": ".parquet",
    "application/vnd.apache.arrow.file": ".arrow",
    "application/x-hdf5": ".h5",
    "application/vnd.sqlite3": ".sqlite3",
    "model/gltf-binary": ".glb",
    "font/woff": ".woff",
    "font/woff2": ".woff2",
    UNKNOWN: ".bin",
}
_TYPES_BY_EXTENSION: Final = {extension: content_type for content_type, extension in _EXTENSIONS.items()} | {
    ".bin": UNKNOWN,
    ".tif": "image/tiff",
    ".aif": "audio/aiff",
    ".oga": "audio/ogg",
    ".m4b": "audio/mp4",
}
_COMPRESSED: Final = {"bzip2": "application/x-bzip2", "xz": "application/x-xz"}


def content_type_of_bytes(data: bytes) -> str:
    """The content type that the first bytes of a file give away."""
    if data[4:8] == b"ftyp":
        return _iso_media_type(data)
    if data[:4] in (b"RIFF", b"FORM"):
        kinds = _RIFF_SIGNATURES if data[:4] == b"RIFF" else _FORM_SIGNATURES
        return kinds.get(data[8:12], UNKNOWN)
    if data[:4] == _MATROSKA:
        return "video/webm" if b"webm" in data[:64] else "video/x-matroska"
    if data[:4] == b"OggS":
        return _ogg_type(data)
    if data[:2] == b"BM" and data[6:10] == bytes(4):
        return "image/bmp"
    for offset, signature, content_type in _SIGNATURES:
        if data.startswith(signature, offset):
            return content_type
    return _mpeg_audio_type(data)


def content_type_of_name(file_name: str) -> str:
    """The content type that a file's extension stands for."""
    _, dot, extension = file_name.rpartition(".")
    if known := _TYPES_BY_EXTENSION.get(dot + extension.lower()):
        return known
    content_type, encoding = mimetypes.guess_type(f"x{dot}{extension}")
    if encoding is not None:
        return _COMPRESSED.get(encoding, f"application/{encoding}")
    return content_type or UNKNOWN


def extension_of(content_type: str) -> str:
    """The extension, with its dot, of a new file of that content type."""
    return _EXTENSIONS.get(content_type) or mimetypes.guess_extension(content_type) or ".bin"


def _iso_media_type(data: bytes) -> str:
    brand = data[8:12]
    content_type = _BRANDS.get(brand) or _BRANDS.get(brand[:3], "video/mp4")
    length = int.from_bytes(data[:4], "big")
    brands = data[16 : max(length, 16)]
    for compatible in _COMPATIBLE.get(content_type, ()):
        if compatible in (brands[at : at + 4] for at in range(0, len(brands), 4)):
            return _BRANDS[compatible]
    return content_type


def _ogg_type(data: bytes) -> str:
    first_page = data[:64]
    if b"OpusHead" in first_page:
        return "audio/opus"
    return "video/ogg" if b"theora" in first_page else "audio/ogg"


def _mpeg_audio_type(data: bytes) -> str:
    """Of a frame without a header: eleven bits that are set, and nothing in it that is reserved."""
    start = int.from_bytes(data[:2], "big")
    if len(data) >= 4 and data[2] >> 4 != 0xF and data[2] >> 2 & 3 != 3 and data[:2] != b"\xff\xfe":
        for mask, bits, content_type in _ADTS_AND_MPEG:
            if start & mask == bits and (start >> 3 & 3 != 1):
                return content_type
    return UNKNOWN
