"""How ``truss-async package`` ends for trusses of each shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import CommandLine

CONFIG = """\
python_version: py311
requirements: ["truss-async[s3]"]
model_metadata: {async_output: {url: "s3://bucket/outputs"}}
"""
MODEL = "from truss_async import AsyncOutputModel\nclass Model(AsyncOutputModel):\n    def predict(self, x):\n        "


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    folder = tmp_path / "truss"
    (folder / "model").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "model" / "model.py").write_text(f"{MODEL}return x\n")
    return folder


def test_check_fails_until_the_truss_is_packaged_and_then_both_succeed(
    command_line: CommandLine, truss: Path
) -> None:
    assert command_line.run("package", str(truss), "--check").code == 1
    done = command_line.run("package", str(truss))
    assert (done.code, done.stdout.splitlines()[-1]) == (0, f"ready: truss push {truss}")
    assert command_line.run("package", str(truss), "--check").code == 0


def test_what_is_left_to_the_author_fails_with_and_without_check(
    command_line: CommandLine, truss: Path
) -> None:
    (truss / "model" / "model.py").write_text(f"{MODEL}yield x\n")
    (truss / ".truss_ignore").write_text("stores/\n")
    for check in ([], ["--check"]):
        outcome = command_line.run("package", str(truss), *check)
        assert outcome.code == 1
        generator, left_out = [
            line for line in outcome.stdout.splitlines() if line.startswith("still to do: ")
        ]
        assert "predict in model.py is a generator" in generator
        assert f"{truss}/.truss_ignore excludes" in left_out


def test_a_truss_without_a_model_is_refused_and_left_as_it_is(command_line: CommandLine, truss: Path) -> None:
    (truss / "model" / "model.py").unlink()
    outcome = command_line.run("package", str(truss))
    assert outcome.code == 1
    assert outcome.error_line.startswith(
        f"there is no {truss}/model/model.py: only what a Model class in Python"
    )
    assert not (truss / "packages").exists()
