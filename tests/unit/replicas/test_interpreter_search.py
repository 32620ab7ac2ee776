"""Pythons of a version that no machine has: scripts that answer like one."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pytest

from truss_async.errors import HarnessError
from truss_async.replicas import interpreter_search
from truss_async.replicas.interpreter_search import check_python, find_version, required_version

VERSION = "3.99"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def python(path: Path, *, version: str = VERSION) -> Path:
    answer = {
        "executable": str(path),
        "base_prefix": "/",
        "markers": {"python_version": version},
        "installed": {},
        "absent": [],
    }
    return script(path, f"""case "$*" in *%d.%d*) echo {version};; *) echo '{json.dumps(answer)}';; esac""")


def found(folder: Path, version: str = VERSION) -> Path | None:
    interpreter = asyncio.run(find_version(version, cwd=folder))
    return None if interpreter is None else interpreter.python


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has no Python but those that a test makes."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'first'}:{tmp_path / 'second'}:/usr/bin:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setattr(interpreter_search, "find_uv", lambda: None)


def test_none_is_found_where_there_is_none(tmp_path: Path) -> None:
    assert found(tmp_path) is None


def test_the_current_one_is_found_first(tmp_path: Path) -> None:
    version = ".".join(map(str, sys.version_info[:2]))
    python(tmp_path / "first" / f"python{version}", version=version)
    assert found(tmp_path, version) == Path(sys.executable)


def test_the_first_on_path_that_answers_is_taken_and_not_one_that_is_switched_off(tmp_path: Path) -> None:
    script(tmp_path / "first" / "python3.99", "echo 'pyenv: python3.99: command not found' >&2; exit 127")
    expected = python(tmp_path / "second" / "python3.99")
    python(tmp_path / "pyenv" / "versions" / "3.99.1" / "bin" / "python")
    assert found(tmp_path) == expected


def test_one_that_has_another_version_than_its_name_is_not_taken(tmp_path: Path) -> None:
    python(tmp_path / "first" / "python3.99", version="3.98")
    assert found(tmp_path) is None


def test_the_newest_that_pyenv_keeps_is_taken(tmp_path: Path) -> None:
    for patch in ("9", "10", "2"):
        python(tmp_path / "pyenv" / "versions" / f"3.99.{patch}" / "bin" / "python")
    python(tmp_path / "pyenv" / "versions" / "3.9.18" / "bin" / "python", version="3.9")
    assert found(tmp_path) == tmp_path / "pyenv" / "versions" / "3.99.10" / "bin" / "python"


def test_one_that_uv_keeps_is_taken_and_none_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = python(tmp_path / "kept" / "python")
    uv = script(
        tmp_path / "uv", f'case "$*" in *--no-python-downloads*{VERSION}) echo {kept};; *) exit 2;; esac'
    )
    monkeypatch.setattr(interpreter_search, "find_uv", lambda: uv)
    assert found(tmp_path) == kept
    assert found(tmp_path, "3.98") is None


def test_a_uv_that_cannot_be_started_finds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter_search, "find_uv", lambda: tmp_path / "gone")
    assert found(tmp_path) is None


def test_a_version_that_nobody_has_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"no Python 3\.99 was found .* install one"):
        check_python(Path(VERSION))
    python(tmp_path / "first" / "python3.99")
    check_python(Path(VERSION))
    check_python(None)


@pytest.mark.parametrize("text", ["exit 1", "echo 3.98"])
def test_a_version_that_only_a_shim_has_is_refused_before_anything_is_started(
    tmp_path: Path, text: str
) -> None:
    script(tmp_path / "first" / "python3.99", text)
    with pytest.raises(HarnessError, match=r"no Python 3\.99 was found .* install one"):
        check_python(Path(VERSION))
    with pytest.raises(HarnessError, match=r"no Python 3\.99 was found"):
        asyncio.run(required_version(VERSION, cwd=tmp_path))


def test_a_uv_that_does_not_answer_finds_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter_search, "find_uv", lambda: script(tmp_path / "uv", "exec sleep 60"))
    monkeypatch.setattr(interpreter_search, "_SECONDS", 0.05)
    assert found(tmp_path) is None
