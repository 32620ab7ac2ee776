"""What lies in the spill folder when a process is killed there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.model.spill import SpillFolder
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
