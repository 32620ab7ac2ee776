"""The truss that ``init`` writes."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from truss_async.errors import HarnessError
from truss_async.shipping.ignored import ignored
from truss_async.shipping.starter import write_starter_truss

FILES = {
    ".gitignore",
    ".truss_ignore",
    "config.yaml",
    "model/__init__.py",
    "model/model.py",
    "receiver.py",
    "test_model.py",
}


def test_it_is_a_truss_for_the_python_that_is_here(tmp_path: Path) -> None:
    folder = tmp_path / "page-reader"
    written = write_starter_truss(folder)
    assert {path.relative_to(folder).as_posix() for path in written} == FILES
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model_name"] == "Page reader"
    assert config["python_version"] == f"py3{sys.version_info.minor}"
    assert "async_output" not in config["model_metadata"]


@pytest.mark.parametrize(
    ("name", "title"), [("true", "True"), ("2.5", "2 5"), ("--", "Model"), ("modèle_'a'", "Modèle a")]
)
def test_any_name_of_a_folder_becomes_a_text_in_the_config(tmp_path: Path, name: str, title: str) -> None:
    write_starter_truss(tmp_path / name)
    assert yaml.safe_load((tmp_path / name / "config.yaml").read_text())["model_name"] == title


@pytest.mark.parametrize("name", ["config.yaml", "model/model.py", ".gitignore"])
def test_nothing_is_written_where_one_of_its_files_is(tmp_path: Path, name: str) -> None:
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    with pytest.raises(HarnessError, match=f"{name} exists already; give a new or empty folder"):
        write_starter_truss(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_text() == "mine"


def test_a_link_that_leads_nowhere_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "receiver.py").symlink_to(tmp_path / "elsewhere.py")
    with pytest.raises(HarnessError, match=r"receiver\.py exists already"):
        write_starter_truss(tmp_path)


def test_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    write_starter_truss(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"cannot write a truss into .*file/below: Not a directory"):
        write_starter_truss(tmp_path / "file" / "below")


def test_what_is_of_this_machine_alone_is_not_shipped(tmp_path: Path) -> None:
    write_starter_truss(tmp_path)
    files = ["test_model.py", "receiver.py", ".truss-async/queue.sqlite3", "config.yaml", "model/model.py"]
    _, left_out = ignored(tmp_path, map(Path, files))
    assert left_out == files[:3]


def test_the_example_input_is_one_that_the_model_takes(tmp_path: Path) -> None:
    write_starter_truss(tmp_path)
    config = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert json.dumps(config["model_metadata"]["example_model_input"]) == '{"name": "Ada"}'
