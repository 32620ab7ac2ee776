"""A project outside of the repository that has installed the wheel: its tests, and every block of docs/testing.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from textwrap import indent
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from tests.acceptance.serving import ROOT

if TYPE_CHECKING:
    from pathlib import Path

BLOCKS = dict(
    re.findall(
        r"<!-- test: (\w+) -->\n```python\n(.*?)```", (ROOT / "docs/testing.md").read_text(), re.DOTALL
    )
)
DEADLINE_SECONDS = 150

# What this repository's tests need, and a project that uses the plugin does not.
NOT_INSTALLED = [f"-pno:{name}" for name in ("schemathesis", "hypothesispytest", "randomly")]


@dataclass(frozen=True)
class Outcomes:
    """What became of each test of the project: None, or what its failure says."""

    of: dict[str, str | None]
    output: str

    def failure(self, name: str) -> str:
        said = self.of[name]
        assert said is not None, f"{name} passed"
        return said


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs."""
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--no-compile",
        "--target",
        str(site),
        str(wheel),
    ]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    return site


@pytest.fixture(scope="module")
def outcomes(installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """One run of the project, its tests shared out to two workers."""
    project = tmp_path_factory.mktemp("outside") / "project"
    shutil.copytree(ROOT / "tests" / "project", project, ignore=shutil.ignore_patterns("__pycache__"))
    for name, block in BLOCKS.items():
        test = f"def test_object():\n{indent(block, '    ')}" if name == "object" else block
        (project / f"test_docs_{name}.py").write_text(test)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-n2",
            "--dist=loadfile",
            "--truss=truss",
            "--junitxml=outcomes.xml",
        ],
        cwd=project,
        env={**environment, "PYTHONPATH": str(installed), "INSTALLED": str(installed)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert run.returncode == pytest.ExitCode.TESTS_FAILED, run.stdout + run.stderr
    cases = ET.parse(project / "outcomes.xml").getroot().iter("testcase")
    return Outcomes({str(case.get("name")): _failure(case) for case in cases}, run.stdout)


def _failure(case: ET.Element) -> str | None:
    said = [f"{each.get('message')}\n{each.text}" for each in case if each.tag in ("failure", "error")]
    return "\n".join(said) or None


def test_a_test_of_five_lines_passes(outcomes: Outcomes) -> None:
    source = (ROOT / "tests/project/test_five_lines.py").read_text()
    assert len(source.splitlines()) == 5
    assert outcomes.of["test_greets"] is None


def test_every_block_of_the_documentation_passes(outcomes: Outcomes) -> None:
    names = [name for block in BLOCKS.values() for name in re.findall(r"def (test_\w+)", block)]
    assert len(BLOCKS) == 7
    assert {name: outcomes.of[name] for name in [*names, "test_object"]} == dict.fromkeys(
        [*names, "test_object"]
    )


def test_nothing_but_what_is_wrong_fails(outcomes: Outcomes) -> None:
    wrong = re.findall(r"def (test_\w+)", (ROOT / "tests/project/test_wrong.py").read_text())
    assert {name for name, said in outcomes.of.items() if said is not None} == set(wrong), outcomes.output
    assert sum(name.startswith("test_adds_one") for name in outcomes.of) == 100


def test_a_failed_assertion_comes_with_the_story_of_the_request(outcomes: Outcomes) -> None:
    assert "== 'SUCCEEDED'" in outcomes.failure("test_expects_what_does_not_come")
    story = outcomes.output.partition("test_expects_what_does_not_come")[2].partition("____")[2]
    for line in (
        r"-+ async requests -+",
        r"async request [0-9a-f]{32} of \w+1: FAILED",
        r" +\+0\.000 s  accepted on .* UTC: priority 0, may wait 600 s, no webhook",
        r" +\+0\.000 s  inference attempt 1 begins",
        r" +\| ValueError: nobody to greet",
        r" +\+0\.000 s  inference attempt 1 failed: MODEL_PREDICT_ERROR: .*; the next in 1 s",
        r" +\+1\.000 s  inference attempt 2 failed: MODEL_PREDICT_ERROR: .*; the next in 2 s",
        r" +\+3\.000 s  inference attempt 3 failed: MODEL_PREDICT_ERROR: .*: FAILED",
    ):
        assert re.search(f"^{line}$", story, re.MULTILINE), f"{line}\n{story}"


@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        (
            "test_overlooks_what_the_model_raised",
            "the model raised ValueError: nobody to greet (request ",
            "model_errors",
        ),
        ("test_overlooks_a_webhook_that_is_refused", "delivery attempt 1: answered 410", "webhook_failures"),
        ("test_leaves_a_request_behind", "was left unfinished: it is QUEUED", "unfinished_requests"),
    ],
)
def test_what_a_test_overlooks_fails_it_and_says_how_to_allow_it(
    outcomes: Outcomes, name: str, message: str, kind: str
) -> None:
    said = outcomes.failure(name)
    assert message in said
    assert "accepted on" in said
    assert f'@pytest.mark.async_harness(allow=["{kind}"]), or async_harness.allow("{kind}")' in said


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_waits_for_what_cannot_come", "the harness is paused: resume() it first"),
        (
            "test_allows_what_there_is_not",
            "there is no problem 'mistakes'; there are: model_errors, webhook_fail",
        ),
        ("test_has_a_model_that_does_not_load", "the model does not load: OSError: no weights"),
    ],
)
def test_a_mistake_is_named(outcomes: Outcomes, name: str, message: str) -> None:
    assert message in outcomes.failure(name)


def test_without_anything_to_serve_the_failure_says_what_to_do(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(async_harness):\n    pass\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *NOT_INSTALLED, "-q", "-p", "no:xdist"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (
        "async_harness has nothing to serve: mark the test with @pytest.mark.async_harness(model=…)"
        in run.stdout
    )
