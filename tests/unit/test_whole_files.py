from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.full_disk import no_file_grows_beyond
from truss_async.whole_files import FOLDER, write_whole, write_whole_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Watched(io.BytesIO):
    """Looks, while it is read, at what lies in the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(b"new")
        self.folder = folder
        self.seen: dict[str, int] = {}

    def read(self, size: int | None = -1, /) -> bytes:
        self.seen |= {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        return super().read(size)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_bytes(b"old")
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, FOLDER)
    yield descriptor
    os.close(descriptor)


def test_the_new_content_takes_the_place_of_the_old(file: Path) -> None:
    assert write_whole(file, b"newer") == 5
    assert write_whole(file, io.BytesIO(b"newest")) == 6
    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"newest")]


def test_what_does_not_fit_the_disk_leaves_the_old_content_and_nothing_else(file: Path) -> None:
    with no_file_grows_beyond(10), pytest.raises(OSError, match="too large"):
        write_whole(file, b"longer than that")
    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"old")]


def test_an_interrupt_leaves_the_old_content_and_nothing_else(file: Path) -> None:
    class Interrupted(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(file, Interrupted())
    assert [(path.name, path.read_bytes()) for path in file.parent.iterdir()] == [("file", b"old")]


def test_a_kill_leaves_the_old_content_and_what_it_leaves_beside_is_hidden(file: Path) -> None:
    program = """
import io, os, sys
from pathlib import Path
from truss_async.whole_files import write_whole

class Killer(io.BytesIO):
    def read(self, size=-1, /):
        if self.tell() > 4_000_000:
            os._exit(9)
        return super().read(size)

write_whole(Path(sys.argv[1]), Killer(bytes(8_000_000)))
"""
    done = subprocess.run([sys.executable, "-c", program, str(file)], check=False, timeout=60)
    assert done.returncode == 9
    assert file.read_bytes() == b"old"
    assert all(path.name.startswith(".") for path in file.parent.iterdir() if path != file)


def test_it_is_on_the_disk_before_it_has_the_name_and_so_is_the_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def noted(name: str) -> Any:
        function = getattr(os, name)

        def call(*arguments: Any, **keywords: Any) -> None:
            steps.append(name)
            function(*arguments, **keywords)

        return call

    for name in ("fsync", "replace"):
        monkeypatch.setattr(os, name, noted(name))
    write_whole(file, b"new")
    assert steps == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_rights_are_those_asked_for_from_the_first_byte_on(file: Path, mode: int) -> None:
    watched = Watched(file.parent)
    before = os.umask(0o027)
    try:
        write_whole(file, watched, mode=mode)
    finally:
        os.umask(before)
    del watched.seen["file"]
    assert [*watched.seen.values()] == [mode]
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_by_default_it_has_the_rights_of_any_new_file(file: Path) -> None:
    write_whole(file, b"")
    other = file.with_name("other")
    other.touch()
    assert file.stat().st_mode == other.stat().st_mode


def test_only_if_absent_leaves_what_is_there(file: Path, folder: int) -> None:
    with pytest.raises(FileExistsError):
        write_whole_in(folder, "file", io.BytesIO(b"new"), only_if_absent=True)
    write_whole_in(folder, "other", io.BytesIO(b"new"), only_if_absent=True)
    contents = {path.name: path.read_bytes() for path in file.parent.iterdir()}
    assert contents == {"file": b"old", "other": b"new"}
