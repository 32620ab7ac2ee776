"""The store fails: the output gets there later, lies in the spill folder, or its request fails loudly."""

from __future__ import annotations

import dataclasses
import math
import threading
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import PlainTextResponse, Response

from tests.unit.model.failing_store import FailingStore, ImpatientClock
from truss_async.contract import ErrorDetail
from truss_async.errors import OutputStoreError, RequestFailedError, SettingsError
from truss_async.model import AsyncOutputModel, SaveCounts, save_counts
from truss_async.model.destination import Destinations
from truss_async.model.saver import OutputSaver
from truss_async.model.settings import OutputSettings
from truss_async.model.spill import SpillFolder
from truss_async.stores import OutputStore

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.model.conftest import MakeRequest


@dataclasses.dataclass
class Bench:
    """A saver, its store and its time."""

    store: FailingStore
    clock: ImpatientClock
    saver: OutputSaver

    def wait_for_uploads(self) -> None:
        for thread in threading.enumerate():
            if thread.name == "truss-async-uploader":
                thread.join(20)
                assert not thread.is_alive()

    def body(self, key: str) -> bytes:
        with self.store.open(key) as file:
            return file.read()


def bench(*, store: FailingStore | None = None, spill_dir: Path | None = None, **settings: Any) -> Bench:
    store, clock = store or FailingStore(), ImpatientClock()
    given = OutputSettings.model_validate({"url": store.url, **settings})
    saver = OutputSaver(
        given,
        destinations=Destinations(given, environment=None, open_store=lambda _url: store),
        clock=clock,
        spill_folder=None if spill_dir is None else SpillFolder(spill_dir, clock=clock),
    )
    return Bench(store, clock, saver)


def test_a_store_that_comes_back_in_time_gets_the_output() -> None:
    it = bench()
    it.store.failures = 3
    assert it.saver.save("r", {"n": 1}) == {"n": 1}
    assert OutputStore(it.store).get("r").data == {"n": 1}
    assert it.saver.counts == SaveCounts(saved=1, retried=3)
    assert all(0 <= wait <= full for wait, full in zip(it.clock.waits, (0.2, 0.4, 0.8), strict=True))


def test_a_request_fails_when_its_time_is_up(caplog: pytest.LogCaptureFixture) -> None:
    it = bench(timeout_seconds=7)
    it.store.failures = math.inf
    with pytest.raises(OutputStoreError, match="it is down"):
        it.saver.save("r", 1)
    assert sum(it.clock.waits) < 7
    assert len(it.clock.waits) == it.saver.counts.retried > 3
    assert it.saver.counts.failed == 1
    assert f"request r: not saved ({it.saver.counts})" in caplog.text


@pytest.mark.parametrize("settings", [{"timeout_seconds": 0}, {}], ids=["no time", "lasting"])
def test_some_failures_are_told_at_once(settings: dict[str, Any]) -> None:
    it = bench(**settings)
    it.store.failures, it.store.lasts = math.inf, not settings
    with pytest.raises(OutputStoreError):
        it.saver.save("r", 1)
    assert (it.clock.waits, it.saver.counts) == ([], SaveCounts(failed=1))


def test_the_error_of_a_request_has_less_time() -> None:
    it = bench()
    it.store.failures = math.inf
    with pytest.raises(OutputStoreError):
        it.saver.save_error("r", ErrorDetail(code="MODEL_PREDICT_ERROR", message="x"))
    assert sum(it.clock.waits) < 5


@pytest.mark.parametrize(
    "output", [{"n": 1}, PlainTextResponse("x"), Response(b"GIF89a", media_type="image/gif")]
)
def test_an_output_that_is_answered_whole_may_only_be_logged(
    output: Any, caplog: pytest.LogCaptureFixture
) -> None:
    it = bench(on_failure="log", respond_with="reference")
    it.store.failures = math.inf
    assert it.saver.save("r", output) is output
    assert "the output of request r is answered but not saved: cannot write" in caplog.text
    assert it.saver.counts.failed == 1


def test_an_artifact_that_is_not_stored_fails_the_request_all_the_same() -> None:
    it = bench(on_failure="log")
    it.store.failures = math.inf
    with pytest.raises(OutputStoreError):
        it.saver.save("r", {"image": b"GIF89a"})


def test_a_spilled_output_is_uploaded_when_the_store_is_back(tmp_path: Path) -> None:
    it = bench(on_failure="spill", spill_dir=tmp_path / "spill", timeout_seconds=0)
    (tmp_path / "report.txt").write_text("a report")
    it.store.failures = 5  # the save's first write, and some uploads
    answer = it.saver.save("r", {"image": b"GIF89a", "report": tmp_path / "report.txt"})
    it.wait_for_uploads()
    assert OutputStore(it.store).get("r").data == answer
    own = f"r/{it.store.head('r.json').metadata['attempt-id']}"  # what is there already cannot be known
    assert answer["image"]["url"] == f"{it.store.url}/{own}/image.gif"
    assert it.store.written == [f"{own}/image.gif", f"{own}/report.txt", "r.json"]
    assert it.store.refused == ["r/image.gif", *[f"{own}/image.gif"] * 4]
    assert it.body(f"{own}/report.txt") == b"a report"
    info = it.store.head(f"{own}/image.gif")
    assert (info.content_type, info.metadata["request-id"]) == ("image/gif", "r")
    assert info.metadata == it.store.head("r.json").metadata
    assert it.saver.counts == SaveCounts(spilled=1, uploaded=3)
    assert list((tmp_path / "spill").iterdir()) == []


def left_behind(folder: Path, *request_ids: str) -> FailingStore:
    """A store that lacks what a process has spilled, and not uploaded before it died."""
    store = FailingStore()
    spill = SpillFolder(folder, clock=ImpatientClock())
    for request_id in request_ids:
        spill.add(
            request_id.encode(),
            store_url=store.url,
            key=f"{request_id}.json",
            request_id=request_id,
            content_type="application/json",
        )
    return store


def test_what_a_process_has_left_is_found_by_the_next(tmp_path: Path) -> None:
    store = left_behind(tmp_path, "a", "b")
    assert store.written == []
    after = bench(store=store, on_failure="spill", spill_dir=tmp_path)
    after.wait_for_uploads()
    assert store.written == ["a.json", "b.json"]
    assert after.saver.counts == SaveCounts(uploaded=2)


def test_what_is_spilled_keeps_its_order_when_the_clock_is_set_back(tmp_path: Path) -> None:
    class SetBack(ImpatientClock):
        hours = 0

        def now(self) -> datetime:
            return super().now() - timedelta(hours=self.hours)

    clock = SetBack()
    folder = SpillFolder(tmp_path, clock=clock)
    for key in ("r/page.png", "r.json"):
        folder.add(b"", store_url="memory://x", key=key, request_id="r", content_type="image/png")
        clock.hours += 1
    notes = [folder.read(name) for name in folder.waiting()]
    assert [note and note.key for note in notes] == ["r/page.png", "r.json"]


def test_a_request_that_cannot_be_uploaded_does_not_hold_up_others(tmp_path: Path) -> None:
    store = left_behind(tmp_path, "a", "b")
    store.failures, store.lasts = 1, True
    after = bench(store=store, on_failure="spill", spill_dir=tmp_path)
    after.wait_for_uploads()
    assert store.written == ["b.json", "a.json"]


def test_a_spilled_output_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    store = left_behind(tmp_path, "a")
    store.put("a.json", b"newer", content_type="application/json")
    after = bench(store=store, on_failure="spill", spill_dir=tmp_path)
    after.wait_for_uploads()
    assert after.body("a.json") == b"newer"
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_note_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = left_behind(tmp_path, "a", "b")
    first = min(tmp_path.glob("*.json"))
    first.write_text("{")
    bench(store=store, on_failure="spill", spill_dir=tmp_path).wait_for_uploads()
    assert store.written == ["b.json"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".body", ".damaged"]
    assert "is put aside" in caplog.text


class Ending(BaseException):
    """What ends a thread that catches exceptions."""


@pytest.mark.parametrize("error", [ValueError("a defect"), SystemExit(3), Ending()], ids=repr)
def test_whatever_a_store_raises_the_uploader_goes_on(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = bench(on_failure="spill", spill_dir=tmp_path / "spill", timeout_seconds=0)
    put, failures = it.store.put, [OutputStoreError("down"), error, error]

    def fail_first(key: str, body: Any, **options: Any) -> None:
        if failures:
            raise failures.pop(0)
        put(key, body, **options)

    monkeypatch.setattr(it.store, "put", fail_first)
    it.saver.save("r", {"n": 1})
    it.wait_for_uploads()
    assert OutputStore(it.store).get("r").data == {"n": 1}
    assert caplog.text.count("what was spilled cannot be uploaded yet") >= 2


def test_an_output_that_cannot_even_be_spilled_fails_its_request(tmp_path: Path) -> None:
    it = bench(on_failure="spill", spill_dir=tmp_path / "file")
    (tmp_path / "file").rmdir()
    (tmp_path / "file").touch()
    it.store.failures, it.store.lasts = 1, True
    with pytest.raises(OutputStoreError, match="/file/"):
        it.saver.save("r", 1)
    assert it.saver.counts == SaveCounts(failed=1)


def test_a_spilled_error_is_uploaded_too(tmp_path: Path) -> None:
    it = bench(on_failure="spill", spill_dir=tmp_path, timeout_seconds=0, compression="gzip")
    it.store.failures = 1
    it.saver.save_error("r", ErrorDetail(code="MODEL_PREDICT_ERROR", message="x"))
    it.wait_for_uploads()
    with pytest.raises(RequestFailedError, match="x"):
        OutputStore(it.store).get("r")
    assert it.store.head("r.error.json").content_encoding == "gzip"


def test_the_default_folder_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    SpillFolder.prepared(None, clock=ImpatientClock())
    [folder] = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o1777)
    with pytest.raises(SettingsError, match="is writable by everyone"):
        SpillFolder.prepared(None, clock=ImpatientClock())


def test_the_counts_of_a_model_can_be_read(store: OutputStore, make_request: MakeRequest) -> None:
    class Model(AsyncOutputModel):
        def predict(self, model_input: int) -> int:
            return model_input

    model: Any = Model()
    model.postprocess(model.predict(1, make_request("r")), make_request("r"))
    assert save_counts(model) == SaveCounts(saved=1)
