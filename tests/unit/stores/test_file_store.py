from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from truss_async.errors import ObjectNotFoundError, OutputStoreError
from truss_async.stores.file_store import FileStore


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "not yet" / "there"


@pytest.fixture
def store(root: Path) -> FileStore:
    return FileStore(root)


def put(store: FileStore, key: str, body: bytes) -> None:
    store.put(key, body, content_type="application/json")


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def run(program: str, *arguments: object) -> str:
    """What the program printed; it may end as it likes."""
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert not done.stderr
    return done.stdout


def test_object_is_a_plain_file_of_its_key_and_nothing_else_is_left(store: FileStore, root: Path) -> None:
    put(store, "a/b/c.json", b"{}")
    put(store, "a/b/c.json", b"[]")
    assert (root / "a/b/c.json").read_bytes() == b"[]"
    assert files_below(root) == ["a/b/c.json"]


def test_content_type_is_told_from_the_name(store: FileStore) -> None:
    for key in ("x.json", "x.png", "x"):
        put(store, key, b"")
    types = {info.key: info.content_type for info in store.list()}
    assert types == {"x": None, "x.json": "application/json", "x.png": "image/png"}


def test_kill_in_the_middle_of_a_put_leaves_the_earlier_object_whole(store: FileStore, root: Path) -> None:
    put(store, "r1.json", b"earlier")
    program = """
import io, os, sys
from pathlib import Path
from truss_async.stores.file_store import FileStore

class Killer(io.BytesIO):
    def read(self, size=-1, /):
        if self.tell() > 4_000_000:
            print("killed", flush=True)
            os._exit(9)
        return super().read(size)

for key in ("r1.json", "r2.json"):
    if os.fork() == 0:
        FileStore(Path(sys.argv[1])).put(key, Killer(bytes(8_000_000)), content_type="application/json")
    os.wait()
"""
    assert run(program, root).split() == ["killed", "killed"]
    assert [info.key for info in store.list()] == ["r1.json"]
    with store.open("r1.json") as file:
        assert file.read() == b"earlier"


def test_full_disk_is_said_and_leaves_nothing_behind(root: Path) -> None:
    program = """
import resource, sys
from pathlib import Path
from truss_async.errors import OutputStoreError
from truss_async.stores.file_store import FileStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
try:
    FileStore(Path(sys.argv[1])).put("r1.json", bytes(3_000_000), content_type="application/json")
except OutputStoreError as error:
    print(error)
"""
    message = run(program, root)
    assert "cannot write file://" in message
    assert "larger than the system allows" in message
    assert files_below(root) == []


def test_forbidden_folder_is_said_with_the_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # that user may not write its file either
    root.mkdir(parents=True)
    root.chmod(0o500)
    program = """
import os, sys
from pathlib import Path
from truss_async.errors import OutputStoreError
from truss_async.stores.file_store import FileStore
if os.geteuid() == 0:
    os.setuid(65534)
try:
    FileStore(Path(sys.argv[1])).put("r1.json", b"", content_type="application/json")
except OutputStoreError as error:
    print(error)
"""
    message = run(program, root)
    assert "r1.json: Permission denied; give this user write permission there" in message


def test_root_below_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputStoreError, match=r"cannot write .*not a folder"):
        put(FileStore(tmp_path / "file" / "outputs"), "r1.json", b"{}")


def test_link_below_the_root_is_never_followed(store: FileStore, root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text("secret")
    root.mkdir(parents=True)
    (root / "folder").symlink_to(outside)
    (root / "secret.json").symlink_to(outside / "secret.json")

    for key in ("folder/secret.json", "secret.json"):
        with pytest.raises(OutputStoreError):
            store.open(key)
        with pytest.raises(OutputStoreError):
            store.head(key)
    with pytest.raises(OutputStoreError):
        put(store, "folder/secret.json", b"mine")
    store.delete("folder/secret.json")
    assert list(store.list()) == []
    assert list(store.list("folder/")) == []
    assert list(store.list("../outside/")) == []

    put(store, "secret.json", b"mine")
    assert (outside / "secret.json").read_text() == "secret"
    assert (root / "secret.json").read_bytes() == b"mine"


def test_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    store = FileStore(tmp_path / "outputs")
    put(store, "a/r1.json", b"{}")
    assert [info.key for info in store.list("a/")] == ["a/r1.json"]
    assert files_below(tmp_path / "disk") == ["a/r1.json"]


def test_what_is_no_file_is_no_object(store: FileStore, root: Path) -> None:
    (root / "folder").mkdir(parents=True)
    os.mkfifo(root / "pipe")
    for key in ("folder", "pipe"):
        with pytest.raises(ObjectNotFoundError):
            store.open(key)
    assert list(store.list()) == []


def test_folder_where_the_object_should_be_is_said(store: FileStore, root: Path) -> None:
    (root / "r1.json").mkdir(parents=True)
    with pytest.raises(OutputStoreError, match=r"cannot write .*r1.json: Is a directory"):
        put(store, "r1.json", b"{}")
    assert files_below(root) == []


def test_others_may_read_what_the_process_lets_them(store: FileStore, root: Path) -> None:
    put(store, "r1.json", b"{}")
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE((root / "r1.json").stat().st_mode) == 0o666 & ~umask


def test_no_file_stays_open(store: FileStore, root: Path) -> None:
    put(store, "a/r1.json", b"{}")
    before = len(list(Path("/dev/fd").iterdir()))
    for _ in range(20):
        put(store, "a/b/r1.json", b"{}")
        store.head("a/b/r1.json")
        list(store.list())
        store.delete("a/b/r1.json")
        for key in ("a/b/r1.json", "a", "a/r1.json/x"):
            with pytest.raises(ObjectNotFoundError):
                store.open(key)
    assert len(list(Path("/dev/fd").iterdir())) == before
