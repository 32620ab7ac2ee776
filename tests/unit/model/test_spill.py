"""What lies in the spill folder when a process is killed there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.model.counters import SaveCounters
from truss_async.model.destination import Destinations
from truss_async.model.settings import OutputSettings
from truss_async.model.spill import SpillFolder
from truss_async.model.uploader import Uploader
from truss_async.stores import object_store

if TYPE_CHECKING:
    from pathlib import Path

BODY = bytes(range(256)) * 1000

# A process that spills an output and uploads it, and is killed just before it changes a name for the nth time.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from truss_async.clock import SYSTEM_CLOCK
from truss_async.model.spill import SpillFolder
from truss_async.stores import object_store

folder, store_url, fatal_change = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
changes = 0

def watch(event, arguments):
    global changes
    if event in ("os.rename", "os.remove"):
        changes += 1
        if changes == fatal_change:
            os.kill(os.getpid(), signal.SIGKILL)

spill = SpillFolder(folder, clock=SYSTEM_CLOCK)
sys.addaudithook(watch)
spill.add(bytes(range(256)) * 1000, store_url=store_url, key="r.json", request_id="r", content_type="application/json")
print("kept", flush=True)
(name,) = spill.waiting()
spill.upload(name, spill.read(name), open_store=object_store)
"""


@pytest.mark.parametrize(
    ("fatal_change", "is_kept"),
    [
        pytest.param(1, False, id="before the body is there"),
        pytest.param(2, False, id="between the body and the note"),
        pytest.param(3, True, id="before the upload"),
        pytest.param(4, True, id="between the upload and the removal of the note"),
        pytest.param(5, True, id="between the removal of the note and of the body"),
        pytest.param(6, True, id="never"),
    ],
)
def test_a_kill_loses_no_spilled_output_and_leaves_no_half_of_one_to_upload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fatal_change: int, is_kept: bool
) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # it would change names, too
    folder, store = tmp_path / "spill", object_store((tmp_path / "store").as_uri())
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), store.url, str(fatal_change)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == ("kept\n" if is_kept else "")
    assert done.returncode == (0 if fatal_change == 6 else -9)

    next_process = SpillFolder(folder, clock=SYSTEM_CLOCK)
    for name in next_process.waiting():
        spilled = next_process.read(name)
        assert spilled is not None
        next_process.upload(name, spilled, open_store=object_store)
    assert next_process.waiting() == []
    assert [info.key for info in store.list()] == (["r.json"] if is_kept else [])
    if is_kept:
        with store.open("r.json") as file:
            assert file.read() == BODY


def spill(folder: SpillFolder, store_url: str) -> str:
    """Keep an object that is to go there; return its name."""
    before = set(folder.waiting())
    folder.add(b"{}", store_url=store_url, key="r.json", request_id="r", content_type="application/json")
    (name,) = set(folder.waiting()) - before
    return name


def test_what_names_another_store_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    settings = OutputSettings(url="memory://spill-test/ours/{date}")
    destinations = Destinations(settings, environment=None, open_store=object_store)

    def is_ours(url: str) -> bool:
        return destinations.holds(url, now=SYSTEM_CLOCK.now())

    folder = SpillFolder(tmp_path, clock=SYSTEM_CLOCK, is_ours=is_ours)
    ours = spill(folder, "memory://spill-test/ours/2026-01-01")
    others = [
        spill(folder, url)
        for url in (
            "memory://spill-test",
            "memory://spill-test/ours-too",
            "memory://other/ours",
            "file:///etc",
        )
    ]
    assert [name for name in folder.waiting() if folder.read(name)] == [ours]
    assert folder.waiting() == [ours]
    assert caplog.text.count("is left alone: it belongs to") == len(others)
    assert len([*tmp_path.glob("*.json")]) == 1 + len(others)


@pytest.mark.parametrize("part", [".json", ".body"])
@pytest.mark.parametrize("planted", ["by another user", "as a link"])
def test_what_another_user_has_planted_is_left_alone(tmp_path: Path, part: str, planted: str) -> None:
    store = object_store((tmp_path / "store").as_uri())
    folder = SpillFolder(tmp_path / "spill", clock=SYSTEM_CLOCK)
    name = spill(folder, store.url)
    file = tmp_path / "spill" / f"{name}{part}"
    if planted == "as a link":
        file.symlink_to(file.rename(tmp_path / "elsewhere"))
    elif os.geteuid() == 0:
        os.chown(file, 12345, 12345)
    else:
        folder._own_id += 1  # the other way round
    uploader = Uploader(folder, open_store=object_store, counters=SaveCounters(), clock=SYSTEM_CLOCK)
    assert uploader._upload_waiting() == 0
    assert folder.waiting() == []
    assert file.exists()
    assert [*store.list()] == []


def test_what_is_spilled_can_be_read_by_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        spill(SpillFolder(tmp_path / "spill", clock=SYSTEM_CLOCK), "memory://x")
    finally:
        os.umask(before)
    modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "spill").iterdir()}
    assert modes == {0o600}
