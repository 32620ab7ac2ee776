"""Whom a folder belongs to. What needs a second user is tried where the tests may act as one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from truss_async.errors import SettingsError
from truss_async.own_folders import OTHERS, is_file_of, own_folder

if TYPE_CHECKING:
    from pathlib import Path

STRANGER = 12345


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    path, before = tmp_path / "a" / "b", os.umask(0)
    try:
        assert own_folder(path, what="spill_dir") == os.geteuid()
    finally:
        os.umask(before)
    assert mode_of(path) == 0o700
    assert list(path.iterdir()) == []


@pytest.mark.parametrize(
    ("mode", "closed", "then"), [(0o777, None, 0o755), (0o2775, None, 0o2755), (0o755, OTHERS, 0o700)]
)
def test_a_folder_of_this_user_is_closed_to_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int, closed: int | None, then: int
) -> None:
    tmp_path.chmod(mode)
    for _ in range(2):
        own_folder(tmp_path, what="spill_dir", **({} if closed is None else {"closed": closed}))
        assert mode_of(tmp_path) == then
    assert caplog.text.count("was accessible to other users") == 1


def test_a_folder_for_everybody_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    with pytest.raises(
        SettingsError, match=rf"spill_dir {tmp_path} is writable by everyone; choose a folder below it"
    ):
        own_folder(tmp_path, what="spill_dir")
    assert mode_of(tmp_path) == 0o1777
    own_folder(tmp_path / "own", what="spill_dir")


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(SettingsError, match=rf"spill_dir {path} cannot be used"):
            own_folder(path, what="spill_dir")


def test_the_user_who_made_a_file_is_known(tmp_path: Path) -> None:
    own_id, path = own_folder(tmp_path, what="spill_dir"), tmp_path / "file"
    path.touch()
    with path.open("rb") as file:
        assert is_file_of(file, own_id)
        assert not is_file_of(file, STRANGER)


def test_a_folder_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o777)
    link = tmp_path / "link"
    link.symlink_to(folder)
    if os.geteuid() == 0:
        os.chown(folder, STRANGER, STRANGER)
        os.lchown(link, STRANGER, STRANGER)
    else:  # the other way round: the folder stays, and it is somebody else who looks
        monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
        monkeypatch.setattr("truss_async.own_folders._id_of_new_files", lambda _folder: STRANGER)
    for path in (folder, link):
        with pytest.raises(SettingsError, match="belongs to another user"):
            own_folder(path, what="spill_dir")
