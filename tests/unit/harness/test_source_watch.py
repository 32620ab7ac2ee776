"""An edit of a served truss is noticed, and said once."""

import asyncio
import os
from pathlib import Path

import pytest

from truss_async.clock import ManualClock
from truss_async.harness.source_watch import LOOK_SECONDS, SourceWatch


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "config.yaml").write_text("model_name: x\n")
    (tmp_path / "model" / "model.py").write_text("class Model: pass\n")
    return tmp_path


def watching(truss: Path, reports: list[str], clock: ManualClock | None = None) -> SourceWatch:
    return SourceWatch(truss, clock=clock or ManualClock(), report=reports.append)


def test_what_stays_as_it_is_is_no_edit(truss: Path) -> None:
    watch = watching(truss, [])
    (truss / "model" / "notes.txt").write_text("no code")
    assert watch.look() == []


def test_each_edit_is_seen_once(truss: Path) -> None:
    watch = watching(truss, [])
    model = truss / "model" / "model.py"
    model.write_text("class Model:\n    pass\n")
    assert watch.look() == [model]
    assert watch.look() == []
    os.utime(model, ns=(1, 1))
    assert watch.look() == [model]


def test_files_that_come_and_go_are_edits(truss: Path) -> None:
    watch = watching(truss, [])
    (truss / "packages" / "mine").mkdir(parents=True)
    added = truss / "packages" / "mine" / "code.py"
    added.write_text("")
    (truss / "config.yaml").unlink()
    assert watch.look() == [truss / "config.yaml", added]


@pytest.mark.parametrize(
    ("waits", "meant"), [(False, "the old version is still served"), (True, "reloading the model")]
)
def test_an_edit_is_told_with_what_becomes_of_it(truss: Path, waits: bool, meant: str) -> None:
    reports: list[str] = []

    async def edit() -> None:
        said = asyncio.Event()
        clock = ManualClock()

        def report(line: str) -> None:
            reports.append(line)
            said.set()

        running = asyncio.ensure_future(
            SourceWatch(truss, clock=clock, report=report, retry=lambda: waits).run()
        )
        (truss / "model" / "model.py").write_text("class Model:\n    x = 1\n")
        try:
            await asyncio.sleep(0)  # until it sleeps
            await asyncio.to_thread(clock.advance, LOOK_SECONDS)
            await asyncio.wait_for(said.wait(), 30)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(edit())
    (line,) = reports
    assert line.startswith(f"{truss / 'model' / 'model.py'} changed; {meant}")
