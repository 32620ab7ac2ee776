"""docs/fidelity.md: each row names the tests that show it, and they exist."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "fidelity.md").read_text().splitlines()
    if line.startswith("|") and not line.startswith("| ---") and not line.endswith("| shown by |")
]


def names_in(file: Path) -> Iterator[str]:
    """Of tests, and of classes of them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


@pytest.fixture(scope="module")
def known() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in names_in(file) if name.startswith(("test_", "Test"))}


def test_every_row_of_the_page_names_a_test_and_only_tests_that_there_are(known: set[str]) -> None:
    assert len(ROWS) > 100
    for row in ROWS:
        assert len(row) == 3, row
        named = re.findall(r"`(\w+)`", row[2])
        assert named, f"no test shows: {row[0]}"
        assert row[2] == " ".join(f"`{name}`" for name in named)
        assert set(named) <= known, f"{set(named) - known}: {row[0]}"


def test_the_page_names_every_test_of_the_contract() -> None:
    shown = " ".join(row[2] for row in ROWS)
    contract = names_in(ROOT / "tests" / "integration" / "harness" / "test_contract.py")
    assert [name for name in contract if name.startswith("test_") and f"`{name}`" not in shown] == []
