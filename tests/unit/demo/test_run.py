"""The demo's path, with a small model in place of the OCR engine: everything else is real."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from truss_async.clock import SYSTEM_CLOCK
from truss_async.demo.run import run_demo
from truss_async.demo.screen import Screen
from truss_async.errors import HarnessError

CONFIG = "model_name: Reader\npython_version: py311\nrequirements: ['truss-async[s3]']\nmodel_metadata: {async_output: {url: 's3://nowhere/outputs'}}\n"
MODEL = """
import smart_open
from fastapi import HTTPException
from truss_async import AsyncOutputModel

class Model(AsyncOutputModel):
    def predict(self, model_input):
        with smart_open.open(model_input["page"], "rb") as file:
            body = file.read()
        if not body.startswith(b"\\x89PNG"):
            raise HTTPException(422, "not an image")
        return {"lines": [{"text": "hello"}], "annotated": body}
"""
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


@pytest.fixture
def truss(tmp_path: Path) -> Path:
    folder = tmp_path / "truss"
    (folder / "model").mkdir(parents=True)
    (folder / "pages").mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "model" / "model.py").write_text(MODEL)
    (folder / "pages" / "one.png").write_bytes(PNG)
    return folder


def run(truss: Path) -> tuple[list[str], str]:
    shown = io.StringIO()
    screen = Screen(clock=SYSTEM_CLOCK, console=Console(file=shown, width=170))
    problems = run_demo(truss, output_dir=truss.parent / "output", screen=screen)
    return problems, shown.getvalue()


def test_pages_go_all_the_way_and_what_did_not_hold_is_told_apart(truss: Path) -> None:
    (truss / "pages" / "two.png").write_bytes(b"no image")
    problems, shown = run(truss)
    (problem,) = problems
    assert problem.startswith("two.png: FAILED (MODEL_INVALID_INPUT: ")
    one = next(line for line in shown.splitlines() if line.startswith("one "))
    assert "SUCCEEDED valid" in one
    assert one.split()[-1] == "1"
    request_id = one.split()[1]
    assert f"outputs/{request_id}.json" in one
    assert request_id in (truss.parent / "output" / "one.json").read_text()
    assert (truss.parent / "output" / "one-annotated.png").read_bytes() == PNG
    assert not (truss.parent / "output" / "two-annotated.png").exists()
    assert shown.endswith("next: make a truss of your own with: truss-async init hello\n")


def test_a_model_that_does_not_load_ends_the_demo_with_its_reason(truss: Path) -> None:
    (truss / "model" / "model.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(HarnessError, match="nothing_of_that_name"):
        run(truss)


def test_a_folder_without_pages_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=rf"no pages/\*\.png in {tmp_path}/nowhere"):
        run_demo(tmp_path / "nowhere", output_dir=tmp_path / "output")
    assert not (tmp_path / "output").exists()


@pytest.mark.parametrize(("number", "moment"), [(signal.SIGINT, "IN_PROGRESS"), (signal.SIGTERM, "accepted")])
def test_an_interrupted_demo_leaves_no_process_behind(
    truss: Path, number: signal.Signals, moment: str
) -> None:
    (truss / "model" / "model.py").write_text(
        MODEL.replace("with smart", "import time; time.sleep(2)\n        with smart")
    )
    command = [str(Path(sys.executable).with_name("truss-async")), "demo", "--truss", str(truss)]
    scratch = truss.parent / "tmp"
    scratch.mkdir()
    with subprocess.Popen(
        [*command, "--output", str(truss.parent / "output")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if moment in line:
                break
        demo.send_signal(number)
        _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert errors.splitlines()[-1] == "truss-async: interrupted"
    listing = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert [line for line in listing.splitlines() if str(truss.parent) in line] == []
    assert list(scratch.iterdir()) == []
