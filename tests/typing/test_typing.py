"""What the installed wheel tells strict type checkers that have no plugin: a user's file passes, mistakes do not."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import truss_async

HERE = Path(__file__).parent
FILES = ("user.py", "mistakes.py")
CHECKERS = {
    "mypy": ("mypy", "--strict", "--no-incremental", "--config-file=", "--python-executable"),
    "pyright": ("basedpyright", "--project=pyrightconfig.json", "--pythonpath"),
}


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter in whose environment the wheel is, with the libraries of this one."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=False)
    packages = folder / Path(sysconfig.get_path("purelib")).relative_to(sys.prefix)
    zipfile.ZipFile(wheel).extractall(packages)
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    python = folder / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import truss_async; print(truss_async.__file__)"],
        capture_output=True, text=True, check=True, cwd=folder,
    )  # fmt: skip
    assert Path(where.stdout.strip()) == packages / "truss_async" / "__init__.py"
    return python


@pytest.fixture(scope="module", params=CHECKERS)
def found(
    request: pytest.FixtureRequest, python: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[int, str]]:
    """What a checker finds in each file, by line."""
    folder = tmp_path_factory.mktemp("user")
    for file in FILES:
        (folder / file).write_text((HERE / file).read_text())
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}))
    program, *options = CHECKERS[request.param]
    command: list[str | Path] = [Path(sys.executable).with_name(program), *options, python, *FILES]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    lines = re.findall(r"(\w+\.py):(\d+):[\d: -]*(?:error|warning): ?(.*)", run.stdout)
    assert lines, run.stdout + run.stderr
    return {file: {int(line): said for where, line, said in lines if where == file} for file in FILES}


def test_a_users_file_is_free_of_errors(found: dict[str, dict[int, str]]) -> None:
    assert found["user.py"] == {}


def test_each_mistake_is_found(found: dict[str, dict[int, str]]) -> None:
    lines = (HERE / "mistakes.py").read_text().splitlines()
    mistakes = {number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")}
    assert found["mistakes.py"].keys() == mistakes


def test_the_users_file_uses_every_public_name() -> None:
    text = (HERE / "user.py").read_text()
    used = "".join(text.partition("assert_type(")[1:])  # what comes after the imports
    assert not [name for name in dir(truss_async) if not re.search(rf"\b{name}\b", used)]
