"""The state folder is its user's own: what others could read or write is taken from them, what is theirs is refused."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from truss_async.errors import HarnessError, SettingsError
from truss_async.harness.state import StateFolder

if TYPE_CHECKING:
    from pathlib import Path

FILES = ("queue.sqlite3", "queue.sqlite3-wal", "queue.sqlite3-shm", "webhook-secrets.json", "lock")
STRANGER = 12345


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def open_all(folder: Path) -> None:
    state = StateFolder(folder)
    try:
        assert state.queue_file.parent == state.webhook_secrets_file.parent == folder
    finally:
        state.close()


def test_what_lies_there_is_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(0o755)
    for name in FILES:
        (folder / name).touch()
        (folder / name).chmod(0o644)
    open_all(folder)
    assert mode_of(folder) == 0o700
    assert {mode_of(folder / name) for name in FILES} == {0o600}


def test_no_umask_opens_what_is_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_all(tmp_path / "a" / "state")
    finally:
        os.umask(before)
    assert {mode_of(each) for each in (tmp_path / "a", tmp_path / "a" / "state")} == {0o700}
    assert {mode_of(each) for each in (tmp_path / "a" / "state").iterdir()} == {0o600}


def test_what_sqlite_makes_beside_the_database_is_as_closed(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        state = StateFolder(tmp_path / "state")
        database = sqlite3.connect(state.queue_file)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
        modes = {mode_of(each) for each in state.path.iterdir()}
        database.close()
        state.close()
    finally:
        os.umask(before)
    assert modes == {0o600}


def test_a_folder_that_is_a_place_for_more_is_only_closed_to_writers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.chdir(tmp_path)
    open_all(tmp_path)
    assert mode_of(tmp_path) == 0o755


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    (tmp_path / "state" / name).mkdir(parents=True)
    with pytest.raises(HarnessError, match=rf"{name} is not a regular file owned by this user.*--state-dir"):
        open_all(tmp_path / "state")
    (tmp_path / "state" / name).rmdir()
    os.mkfifo(tmp_path / "state" / name)
    with pytest.raises(HarnessError, match=rf"{name} is not a regular file owned by this user"):
        open_all(tmp_path / "state")


@pytest.mark.parametrize(
    "content", [b"x", b"SQLite format 4\0", b"\0" * 4096], ids=["short", "almost", "zeros"]
)
def test_what_is_no_database_is_named_with_the_remedy(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "queue.sqlite3").write_bytes(content)
    with pytest.raises(HarnessError, match=r"queue.sqlite3 is not a SQLite database; .*--state-dir"):
        open_all(tmp_path)
    assert (tmp_path / "queue.sqlite3").read_bytes() == content


def test_what_is_another_users_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        return  # only root can make such a thing
    file = tmp_path / "state" / "queue.sqlite3"
    file.parent.mkdir(mode=0o700)
    file.touch()
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(HarnessError, match="is not a regular file owned by this user"):
        open_all(tmp_path / "state")
    file.unlink()
    os.chown(tmp_path / "state", STRANGER, STRANGER)
    with pytest.raises(SettingsError, match=r"the state folder .* belongs to another user"):
        open_all(tmp_path / "state")
