import importlib.metadata
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import truss_async
from truss_async.errors import HarnessError
from truss_async.shipping import CONTAINER_PART, container_part_is_current, copy_container_part

PACKAGE = Path(truss_async.__file__).parent
PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def closure(*names: str) -> set[str]:
    """The distributions that installing these brings in."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            requires = [Requirement(line) for line in importlib.metadata.requires(name) or []]
        except importlib.metadata.PackageNotFoundError:
            continue  # for another Python or platform
        found.add(name)
        waiting += [line.name for line in requires if "extra" not in str(line.marker)]
    return found


def modules_outside(distributions: set[str]) -> set[str]:
    """The importable names that other installed distributions own, and none of these does."""
    inside: set[str] = set()
    outside: set[str] = set()
    for installed in importlib.metadata.distributions():
        names = inside if canonicalize_name(installed.metadata["Name"]) in distributions else outside
        tops = {file.parts[0] for file in installed.files or [] if file.suffix in (".py", ".so")}
        names |= {top.partition(".")[0] for top in tops if top not in ("..", "__pycache__")}
    return outside - inside


def test_the_copy_holds_the_container_part_and_nothing_else(tmp_path: Path) -> None:
    files = copy_container_part(tmp_path)
    assert files == sorted(files)
    assert {str(path.relative_to(tmp_path / "truss_async")) for path in files} == set(
        tree(tmp_path / "truss_async")
    )
    assert {path.name for path in (tmp_path / "truss_async").iterdir()} == set(CONTAINER_PART)
    assert [path.name for path in tmp_path.iterdir()] == ["truss_async"]


def test_the_list_is_the_one_that_the_import_contract_guards() -> None:
    contract = PYPROJECT.read_text().split('name = "the container loads')[1].split("forbidden_modules")[0]
    guarded = set(re.findall(r'"truss_async\.(\w+)"', contract))
    shipped = {name.removesuffix(".py") for name in CONTAINER_PART}
    assert shipped == guarded | {"__init__", "py.typed"}


def test_the_copy_imports_with_only_the_mandatory_dependencies(tmp_path: Path) -> None:
    copy_container_part(tmp_path)
    present = closure("pydantic", "smart-open") | {"truss-async"}
    absent = modules_outside(present)
    optional = absent - modules_outside(
        present | closure("boto3", "google-cloud-storage", "azure-storage-blob")
    )
    assert {"boto3", "starlette", "truss"} <= absent
    script = tmp_path / "import_all.py"
    script.write_text(
        f"""
import pkgutil, sys

# The module of one cloud's store imports that cloud's library; it is itself imported when its store is made.
OPTIONAL = {sorted(optional)!r}
ABSENT = {sorted(absent)!r}

class OnlyMandatory:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"{{name}} is not there in this container", name=name)

sys.path[:0] = [{str(tmp_path)!r}]
sys.path += {[path for path in sys.path if "site-packages" in path]!r}
sys.meta_path.insert(0, OnlyMandatory())
import truss_async
assert truss_async.__file__.startswith({str(tmp_path)!r}), truss_async.__file__
for module in pkgutil.walk_packages(truss_async.__path__, "truss_async."):
    try:
        __import__(module.name)
    except ModuleNotFoundError as error:
        if module.ispkg or error.name.partition(".")[0] not in OPTIONAL:
            raise
    else:
        print(module.name)
"""
    )
    run = subprocess.run(
        [sys.executable, "-I", "-S", "-B", str(script)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert {"truss_async.model", "truss_async.stores", "truss_async.webhooks", "truss_async.contract"} <= set(
        run.stdout.split()
    )


def test_an_older_copy_is_replaced_as_a_whole(tmp_path: Path) -> None:
    old = tmp_path / "truss_async"
    (old / "harness").mkdir(parents=True)
    (old / "harness" / "server.py").write_text("stale")
    (old / "errors.py").write_text("stale")
    assert not container_part_is_current(tmp_path)
    copy_container_part(tmp_path)
    assert container_part_is_current(tmp_path)
    assert not (old / "harness").exists()
    assert (old / "errors.py").read_bytes() == (PACKAGE / "errors.py").read_bytes()


def test_a_copy_that_is_right_is_left_untouched(tmp_path: Path) -> None:
    copy_container_part(tmp_path)
    before = (tmp_path / "truss_async").stat()
    copy_container_part(tmp_path)
    after = (tmp_path / "truss_async").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_compiled_files_of_a_copy_in_use_do_not_make_it_stale(tmp_path: Path) -> None:
    copy_container_part(tmp_path)
    (tmp_path / "truss_async" / "__pycache__").mkdir()
    (tmp_path / "truss_async" / "__pycache__" / "errors.cpython-311.pyc").touch()
    assert container_part_is_current(tmp_path)


def test_a_link_is_replaced_by_a_real_copy_because_truss_ships_nothing_for_links(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    copy_container_part(elsewhere)
    packages = tmp_path / "packages"
    packages.mkdir()
    (packages / "truss_async").symlink_to(elsewhere / "truss_async")
    copy_container_part(packages)
    assert not (packages / "truss_async").is_symlink()
    assert container_part_is_current(packages)
    assert container_part_is_current(elsewhere)


def test_what_a_killed_run_left_behind_is_removed(tmp_path: Path) -> None:
    leftover = tmp_path / ".truss_async-killed" / "new"
    leftover.mkdir(parents=True)
    (leftover / "errors.py").touch()
    copy_container_part(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["truss_async"]


def test_the_users_other_packages_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("kept")
    copy_container_part(tmp_path)
    assert (tmp_path / "mine.py").read_text() == "kept"


def test_many_at_once_into_one_folder_leave_one_whole_copy(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def copy() -> None:
        try:
            copy_container_part(tmp_path)
        except HarnessError as error:
            failures.append(error)

    threads = [threading.Thread(target=copy) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert container_part_is_current(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["truss_async"]


def test_a_destination_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"cannot copy truss_async to .*/file/packages: Not a directory"):
        copy_container_part(tmp_path / "file" / "packages")
