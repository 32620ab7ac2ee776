"""What people write with any editor is read, whatever mark the editor puts before it."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from truss_async.cli import model_input
from truss_async.errors import HarnessError, SettingsError
from truss_async.harness.toml_files import read_toml
from truss_async.replicas.in_process.loading import TrussSecrets
from truss_async.replicas.requirements import read_pip_file
from truss_async.replicas.truss_folder import read_truss_folder
from truss_async.shipping.truss_source import read_truss
from truss_async.text_files import as_text

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


def a_truss(file: Path) -> Path:
    (file.parent / "model").mkdir()
    (file.parent / "model" / "model.py").write_text(
        "class Model:\n    def predict(self, value): return value\n"
    )
    return file.rename(file.parent / "config.yaml").parent


def read_standard_input(file: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(file.read_bytes())))
    return model_input._read("@-")


READERS: dict[str, tuple[str, Callable[[Path, pytest.MonkeyPatch], Any], Any]] = {
    "a model input": (
        '{"ä": 1}',
        lambda file, _: model_input._parse(model_input._read(f"@{file}")),
        {"ä": 1},
    ),
    "standard input": ('{"ä": 1}', lambda *given: model_input._parse(read_standard_input(*given)), {"ä": 1}),
    "TOML": ('a = "ä"\n', lambda file, _: read_toml(file), {"a": "ä"}),
    "requirements": ("truss-ä\n# note\n", lambda file, _: read_pip_file(file), ["truss-ä"]),
    "config.yaml": (
        "runtime:\n  predict_concurrency: 3\n",
        lambda file, _: read_truss_folder(a_truss(file)).predict_concurrency,
        3,
    ),
    "config.yaml to ship": (
        "model_name: ä\n",
        lambda file, _: read_truss(a_truss(file)).config["model_name"],
        "ä",
    ),
    "a secret": ("gehäim", lambda file, _: TrussSecrets(file.parent, {})[file.name], "gehäim"),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_a_user_writes_is_read_with_any_mark(
    name: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, read, expected = READERS[name]
    (tmp_path / "written").write_bytes(text.encode(encoding))
    assert read(tmp_path / "written", monkeypatch) == expected


@pytest.mark.parametrize(
    "name", ["a model input", "TOML", "requirements", "config.yaml", "config.yaml to ship"]
)
def test_a_file_that_is_no_text_is_named(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "written").write_bytes(b"\xff\x00\xd8")
    with pytest.raises((HarnessError, SettingsError), match=r"not UTF-8|decode"):
        READERS[name][1](tmp_path / "written", monkeypatch)


def test_a_mark_within_a_text_stays() -> None:
    assert as_text("a\ufeff".encode()) == "a\ufeff"
    assert as_text(b"") == ""
