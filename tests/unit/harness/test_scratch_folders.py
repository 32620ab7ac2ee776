"""What is not to be kept is removed, also after a kill, and never while somebody works there."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truss_async.errors import SettingsError
from truss_async.harness.scratch_folders import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

HOLDER = """
import sys
from truss_async.harness.scratch_folders import scratch_folder

with scratch_folder() as folder:
    (folder / "model").mkdir()
    (folder / "model" / "code.py").touch()
    (folder / "model").chmod(0o500)
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextmanager
def another() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().rstrip())
        process.kill()


def test_nothing_is_left_in_the_end(temporary: Path) -> None:
    with scratch_folder() as one, scratch_folder() as other:
        assert one != other
        assert one.stat().st_mode & 0o777 == one.parent.stat().st_mode & 0o777 == 0o700
        (one / "deep" / "deeper").mkdir(parents=True)
        (one / "deep" / "deeper" / "file").touch()
        (one / "link").symlink_to(temporary)
        (one / "deep").chmod(0o500)
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not(temporary: Path) -> None:
    with another() as (_, living):
        for _ in range(3):
            with another() as (process, dead):
                process.kill()
                process.wait()
            assert dead.exists()
        with scratch_folder():
            pass
        assert list(living.parent.iterdir()) == [living]
        assert (living / "model" / "code.py").exists()
    with scratch_folder():
        pass
    assert list(temporary.iterdir()) == []


def test_many_come_and_go_at_once(temporary: Path) -> None:
    def come_and_go(_: int) -> None:
        with scratch_folder() as folder:
            (folder / "file").touch()
            assert folder.is_dir()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(come_and_go, range(200)))
    assert list(temporary.iterdir()) == []


def test_a_place_that_others_prepared_is_refused(temporary: Path) -> None:
    if os.geteuid() == 0:
        place = temporary / "truss-async-0"
        place.mkdir(mode=0o777)
        os.chown(place, 12345, 12345)
        with (
            pytest.raises(SettingsError, match=r"folder for temporary files .* belongs to another user"),
            scratch_folder(),
        ):
            pass
    (temporary / "file").touch()
    tempfile.tempdir = str(temporary / "file")
    with pytest.raises(SettingsError, match="folder for temporary files"), scratch_folder():
        pass
