"""Open files in an output: all that they hold, whatever they are and wherever they stand."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import tarfile
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.contract import ArtifactReference
from truss_async.errors import OutputError
from truss_async.model.artifacts import ArtifactWriter
from truss_async.model.output_json import OutputJson
from truss_async.stores.bodies import read_body

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from truss_async.model.file_parts import FilePart


def stored(output: Any) -> dict[str, tuple[str, bytes]]:
    """The files of an output: content type and bytes, by name."""
    files: dict[str, tuple[str, bytes]] = {}

    def put(name: str, part: FilePart) -> ArtifactReference:
        files[name] = part.content_type, read_body(part.body)
        return ArtifactReference(url=name, content_type=part.content_type, size_bytes=1)

    OutputJson(output, ArtifactWriter(put).reference)
    return files


@pytest.mark.parametrize("max_size", [2, 1000])
def test_a_spooled_file_is_stored_whether_it_is_on_the_disk_or_not(max_size: int) -> None:
    with (
        tempfile.SpooledTemporaryFile(max_size) as binary,
        tempfile.SpooledTemporaryFile(max_size, "w+", newline="") as text,
    ):
        binary.write(b"GIF89a")
        text.write("h\u00e9\r\n")
        assert stored({"binary": binary, "text": text}) == {
            "binary.gif": ("image/gif", b"GIF89a"),
            "text.bin": ("application/octet-stream", "h\u00e9\r\n".encode()),
        }
        assert not binary.closed


@pytest.mark.parametrize(("opened", "suffix"), [(gzip.open, ".gz"), (bz2.open, ".bz2"), (lzma.open, ".xz")])
@pytest.mark.parametrize("mode", ["rb", "rt"])
def test_a_file_that_is_unpacked_is_stored_as_what_it_yields(
    tmp_path: Path, opened: Callable[..., Any], suffix: str, mode: str
) -> None:
    text = "line\r\n" * 10_000
    path = tmp_path / f"lines.txt{suffix}"
    with opened(path, "wb") as file:
        file.write(text.encode())
    with opened(path, mode) as file:
        file.read(7)
        ((name, (content_type, content)),) = stored({"lines": file}).items()
    assert content == text.encode()
    assert (name, content_type) in [("lines.txt", "text/plain"), ("lines.bin", "application/octet-stream")]


def test_a_file_that_packs_is_stored_when_it_is_closed(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "a.json.gz", "wb") as file:
        file.write(b"{}")
        with pytest.raises(
            OutputError, match=r"part lines is a file that is open for writing only: .*close it first"
        ):
            stored({"lines": file})
    assert stored({"lines": tmp_path / "a.json.gz"}) == {
        "a.json.gz": ("application/gzip", (tmp_path / "a.json.gz").read_bytes())
    }


def test_members_of_archives_are_open_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.txt", "a.txt")
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(tmp_path / "a.txt", "a.txt")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive, archive.open("a.txt") as zipped:
        assert stored([zipped]) == {"a.txt": ("text/plain", b"text")}
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert stored([tar.extractfile("a.txt")]) == {"0.bin": ("application/octet-stream", b"text")}


def test_texts_of_any_encoding_keep_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with codecs.open(str(path), "w+", "utf-16") as old, path.open("r+", encoding="latin-1") as new:  # type: ignore[attr-defined, unused-ignore]
        old.write("\u00e9")
        old.flush()
        assert stored([old, new]) == {
            "a.txt": ("text/plain", "\u00e9".encode("utf-16")),
            "a-2.txt": ("text/plain", "\u00e9".encode("utf-16")),
        }


class FromElsewhere(io.RawIOBase):
    """What a library's own file may be: it cannot go back, and has a number for a name."""

    name = 7

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._content.readinto(buffer)


class Broken(FromElsewhere):
    def readinto(self, buffer: Any) -> int:
        raise OSError("connection lost")


def test_a_file_of_any_make_is_read_before_it_is_stored() -> None:
    assert stored([FromElsewhere(b"%PDF-")]) == {"0.pdf": ("application/pdf", b"%PDF-")}
    with pytest.raises(OutputError, match=r"part \[0\] cannot be read: OSError: connection lost"):
        stored([io.BufferedReader(Broken(b""))])


def test_the_name_of_a_file_in_another_script_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "结果.png"
    path.write_bytes(b"x")
    references: list[Any] = []

    def put(name: str, part: FilePart) -> ArtifactReference:
        return ArtifactReference(url=name, content_type=part.content_type, size_bytes=1)

    references.append(OutputJson(path, ArtifactWriter(put).reference).output)
    assert references == [
        {
            "type": "artifact",
            "url": "artifact.png",
            "content_type": "image/png",
            "size_bytes": 1,
            "name": "结果.png",
        }
    ]


def test_a_name_that_says_nothing_leaves_it_to_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "scan").write_bytes(b"%PDF-")
    assert stored(tmp_path / "scan") == {"scan": ("application/pdf", b"%PDF-")}
