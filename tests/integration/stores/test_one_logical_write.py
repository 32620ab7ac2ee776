"""Two attempts at one request, one step at a time: whoever reads, at any moment, finds the output of one of them, whole."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.stores.interleaving import Fate, SteppedStore, Turns, all_ways
from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import ArtifactReference
from truss_async.errors import ObjectNotFoundError
from truss_async.model.counters import SaveCounters
from truss_async.model.destination import Destinations
from truss_async.model.file_parts import FilePart
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.model.spill import SpillFolder
from truss_async.model.uploader import Uploader
from truss_async.stores import OutputStore, object_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.stores.interleaving import Choose
    from truss_async.stores import ObjectStore

NAMES = ("page.png", "text.png")
MOST_STEPS = 8


def output_of(name: str) -> dict[str, Any]:
    return {"of": name, "parts": [FilePart(f"{name} {part}".encode(), "image/png", part) for part in NAMES]}


class SpillOnly(SpillFolder):
    """Nothing is uploaded from it behind a test's back."""

    def waiting(self) -> list[str]:
        return []


@dataclass
class Attempt:
    """One process that saves its output of the request ``r``, and then brings what it has spilled to the store."""

    name: str
    store: SteppedStore
    settings: OutputSettings
    spill_dir: Path | None = None
    answer: Any = None

    def run(self) -> None:
        saver = OutputSaver(
            self.settings,
            destinations=Destinations(self.settings, environment=None, open_store=lambda _url: self.store),
            clock=SYSTEM_CLOCK,
            spill_folder=None if self.spill_dir is None else SpillOnly(self.spill_dir, clock=SYSTEM_CLOCK),
        )
        answer = saver.save("r", output_of(self.name))
        self.store.fate.down_from = None
        if (folder := self._folder()) is not None:
            self.upload(folder, self.store)
        self.answer = answer

    def upload(self, folder: SpillFolder, store: Any) -> None:
        uploader = Uploader(
            folder, open_store=lambda _url: store, counters=SaveCounters(), clock=SYSTEM_CLOCK
        )
        while uploader._upload_waiting():
            pass

    def survive(self, objects: ObjectStore) -> None:
        """Let the next process do what this one has left."""
        if (folder := self._folder()) is not None:
            self.upload(folder, objects)
            assert folder.waiting() == []

    def _folder(self) -> SpillFolder | None:
        return None if self.spill_dir is None else SpillFolder(self.spill_dir, clock=SYSTEM_CLOCK)


@dataclass
class Bench:
    """A store, and settings. ``is_watched``: somebody reads after each step."""

    objects: ObjectStore
    overwrite: bool
    folder: Path | None = None
    is_watched: bool = True
    seen: list[Any] = field(default_factory=list)

    def race(self, choose: Callable[[list[str]], str], fate: Fate) -> None:
        """Let both attempts save, ``choose`` whose step is next, and look at what is there."""
        turns = Turns()
        settings = OutputSettings(url=self.objects.url, overwrite=self.overwrite, timeout_seconds=0)
        attempts = [
            Attempt("A", SteppedStore(self.objects, "A", turns, fate), settings, self.folder),
            Attempt("B", SteppedStore(self.objects, "B", turns), settings),
        ]
        threads = [turns.begin(each.name, each.run) for each in attempts]
        self.seen = []
        try:
            while waiting := turns.waiting():
                turns.let(choose(waiting))
                turns.waiting()
                if self.is_watched:
                    self.look()
        finally:
            turns.end()
            for thread in threads:
                thread.join()
        attempts[0].survive(self.objects)
        self.look()
        assert attempts[1].answer is not None
        has_spilled = fate.down_from is not None or self.folder is not None
        for answer in [each.answer for each in attempts if each.answer is not None]:
            self.check(answer)
            if not self.overwrite and not has_spilled:
                assert answer == self.seen[-1]
        if not self.overwrite:
            assert all(each == self.seen[0] for each in self.seen)
        OutputStore(self.objects).delete("r")
        assert [*self.objects.list()] == []

    def look(self) -> None:
        """Whatever is there at this moment is of one attempt, and whole."""
        store = OutputStore(self.objects)
        try:
            data = store.get("r").data
        except ObjectNotFoundError:
            return
        self.seen.append(data)
        self.check(data)
        assert store.artifacts("r") == tuple(map(ArtifactReference.model_validate, data["parts"]))

    def check(self, data: Any) -> None:
        for part, name in zip(data["parts"], NAMES, strict=True):
            with OutputStore(self.objects).open_artifact(ArtifactReference.model_validate(part)) as file:
                assert file.read() == f"{data['of']} {name}".encode()


@pytest.fixture(params=[True, False], ids=["overwrite", "first stays"])
def overwrite(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def in_memory(overwrite: bool) -> Bench:
    return Bench(object_store(f"memory://{uuid.uuid4().hex}"), overwrite)


def any_order(choose: Choose) -> Callable[[list[str]], str]:
    return lambda waiting: waiting[choose(len(waiting)) if len(waiting) > 1 else 0]


def with_few_changes(choose: Choose) -> Callable[[list[str]], str]:
    """Each goes on for as long as it likes; twice, the other one gets its turn before."""
    current, changes = "A", 2

    def chosen(waiting: list[str]) -> str:
        nonlocal current, changes
        if current not in waiting:
            (current,) = waiting
        elif len(waiting) > 1 and changes and choose(2):
            changes -= 1
            (current,) = set(waiting) - {current}
        return current

    return chosen


def test_in_any_order_of_their_steps(overwrite: bool) -> None:
    assert all_ways(lambda choose: in_memory(overwrite).race(any_order(choose), Fate())) >= 30


def test_whenever_one_of_them_is_killed(overwrite: bool) -> None:
    def run(choose: Choose) -> None:
        fate = Fate(killed_at=choose(MOST_STEPS), is_killed_after_it=bool(choose(2)))
        in_memory(overwrite).race(any_order(choose), fate)

    assert all_ways(run) > 200


def test_whenever_the_store_of_one_goes_down_and_it_spills(overwrite: bool, tmp_path: Path) -> None:
    def run(choose: Choose) -> None:
        bench = in_memory(overwrite)
        bench.folder = tmp_path / "spill"
        bench.race(with_few_changes(choose), Fate(down_from=choose(3)))

    assert all_ways(run) > 50


def test_whenever_one_is_killed_while_it_spills_or_uploads(overwrite: bool, tmp_path: Path) -> None:
    def run(choose: Choose) -> None:
        bench = in_memory(overwrite)
        bench.folder, bench.is_watched = tmp_path / "spill", False
        fate = Fate(down_from=choose(2), killed_at=choose(MOST_STEPS), is_killed_after_it=bool(choose(2)))
        moment = 2 * choose(MOST_STEPS // 2)  # the other one is through in one go
        bench.race(lambda waiting: waiting[-1 if fate.steps >= moment else 0], fate)

    assert all_ways(run) == 2 * MOST_STEPS * 2 * MOST_STEPS // 2


@pytest.mark.parametrize("open_store", ["file", "s3", "gs", "azure"], indirect=True)
@pytest.mark.parametrize("spills", [False, True], ids=["saves", "spills"])
def test_on_every_store_whenever_the_other_one_is_through(
    open_store: Callable[..., ObjectStore], overwrite: bool, spills: bool, tmp_path: Path
) -> None:
    def run(choose: Choose) -> None:
        moment = choose(MOST_STEPS)
        fate = Fate(down_from=1 if spills else None)
        bench = Bench(open_store(f"out-{moment}"), overwrite, tmp_path / "spill" if spills else None)
        bench.race(lambda waiting: waiting[-1 if fate.steps >= moment else 0], fate)

    assert all_ways(run) == MOST_STEPS
