"""The probe of an output store."""

from pathlib import Path
from typing import BinaryIO

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.doctor import Finding
from truss_async.doctor.stores import output_store
from truss_async.errors import OutputStoreError
from truss_async.stores.file_store import FileStore


def probe(url: str) -> Finding:
    return output_store(url, secrets={}, environment="production", clock=SYSTEM_CLOCK)


def refuse(*_: object) -> BinaryIO:
    raise OutputStoreError("the role may not do that")


def test_what_is_written_is_read_and_deleted_again(tmp_path: Path) -> None:
    finding = probe((tmp_path / "outputs" / "{environment}").as_uri().replace("%7B", "{").replace("%7D", "}"))
    assert finding.outcome == "ok"
    assert finding.found.endswith("outputs/production: written, read and deleted")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("nonsense", "must start with a scheme"),
        ("memory://x/{model_id}", "model_id"),
        ("file:///dev/null/outputs", "Not a directory"),
    ],
)
def test_a_store_that_cannot_be_written_is_to_be_mended(url: str, remedy: str) -> None:
    finding = probe(url)
    assert finding.outcome == "failed"
    assert remedy in finding.remedy


def test_the_right_to_write_is_enough_for_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileStore, "open", refuse)
    monkeypatch.setattr(FileStore, "delete", refuse)
    finding = probe(tmp_path.as_uri())
    assert finding.outcome == "note"
    assert (
        "written, which is all the model needs; not read (the role may not do that); not deleted"
        in finding.found
    )
