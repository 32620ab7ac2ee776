"""What is told before truss is asked, and of what it said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from truss_async.errors import HarnessError
from truss_async.replicas.chains import ChainSource, generate_chain
from truss_async.replicas.chains.generation import reason_of


def test_only_what_truss_says_of_the_error_is_told() -> None:
    said = [
        "Deploying as a published deployment.",
        "",
        "ERROR ValueError: Please insert the predict URL",
        "  for the model.",
    ]
    assert reason_of(said, 1) == "ValueError: Please insert the predict URL for the model."
    assert reason_of(["Traceback", "ModuleNotFoundError: No module named 'truss'"], 1).startswith(
        "ModuleNotFoundError"
    )
    assert reason_of([], 3) == "it ended with status 3"


def test_a_chain_beside_the_temporary_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "chain.py").touch()
    (tmp_path / "scratch").mkdir()
    with pytest.raises(HarnessError, match="move it into a folder of its own"):
        asyncio.run(generate_chain(ChainSource(tmp_path / "chain.py"), into=tmp_path / "scratch"))


def test_an_interpreter_that_is_none_is_told(tmp_path: Path) -> None:
    file, into = tmp_path / "chain" / "chain.py", tmp_path / "scratch"
    into.mkdir()
    file.parent.mkdir()
    file.touch()
    with pytest.raises(HarnessError, match=r"cannot run .*/no-python: No such file or directory"):
        asyncio.run(generate_chain(ChainSource(file), into=into, python=tmp_path / "no-python"))
    with pytest.raises(HarnessError, match=r"truss does not accept .*/chain\.py: it ended with status 1"):
        asyncio.run(generate_chain(ChainSource(file), into=into, python=Path("/bin/false")))
