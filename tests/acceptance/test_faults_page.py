"""Every block of docs/faults.md that can run, runs; its tables name what there is."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.serving import ROOT
from truss_async.contract.faults import DEFAULT_SECONDS, FaultKind, FaultRule
from truss_async.harness.faults import read_faults

PAGE = (ROOT / "docs" / "faults.md").read_text()


def block(name: str) -> str:
    found = re.search(rf"<!-- test: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None, f"the page has no block {name}"
    return found[1]


def test_the_file_sets_what_its_comments_say(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(block("file"))
    assert read_faults(file) == (
        FaultRule(kind=FaultKind.WEBHOOK_DROPPED, nth=3, attempt=1, seed=7),
        FaultRule(kind=FaultKind.MODEL_CRASH, times=2, seconds=1, seed=7),
        FaultRule(kind=FaultKind.MODEL_503, rate=0.05, seed=7),
        FaultRule(kind=FaultKind.WEBHOOK_DOUBLED, rate=0.05, seed=7),
    )


def test_the_python_block_runs() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)


@pytest.mark.parametrize("kind", FaultKind)
def test_every_kind_has_its_row_with_its_seconds(kind: FaultKind) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `") and f"`{kind.value}`" in line]
    seconds = DEFAULT_SECONDS.get(kind)
    assert row.split("|")[-2].strip() == ("" if seconds is None else f"{seconds:g}")


@pytest.mark.parametrize("key", sorted(set(FaultRule.model_fields) - {"kind", "seconds"}))
def test_every_key_is_explained(key: str) -> None:
    assert f"`{key}`" in PAGE
