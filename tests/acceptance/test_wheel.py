"""What a user installs: the built wheel."""

import zipfile
from pathlib import Path

import pytest

from tests.acceptance.serving import ROOT


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_every_file_of_the_package(names: set[str]) -> None:
    package = ROOT / "truss_async"
    files = {
        str(Path("truss_async") / file.relative_to(package))
        for file in package.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"truss_async/py.typed", "truss_async/harness/request_queue/queries.sql"} <= files
    assert files <= names


def test_the_wheel_holds_nothing_else(names: set[str]) -> None:
    others = {name for name in names if not name.startswith("truss_async/")}
    assert {Path(name).parts[0].endswith(".dist-info") for name in others} == {True}
    assert any(name.endswith("entry_points.txt") for name in others)
    assert any(name.endswith("licenses/LICENSE") for name in others)
