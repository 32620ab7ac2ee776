from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from truss_async.errors import HarnessError
from truss_async.replicas.interpreter import Distribution, Interpreter
from truss_async.replicas.requirements import (
    InstallStep,
    Lines,
    Needs,
    brought_by_image,
    read_lines,
    read_pip_file,
)

MARKERS: dict[str, str] = {key: str(value) for key, value in default_environment().items()}
VERSION = importlib.metadata.version("truss-async")


IMAGE = ["# why", "-i https://pypi.org/simple", "", "numpy>=1.23.5,<2.0 # incompatible", "PyYAML>=6"]


def names(lines: Lines) -> set[str]:
    return {canonicalize_name(package.name) for package in lines.packages}


def parsed(*lines: str) -> Lines:
    return read_lines(lines, markers=MARKERS)


def test_the_image_brings_what_truss_writes_beside_the_lines_of_the_truss_and_no_index() -> None:
    brought = brought_by_image([*IMAGE, "mine==1"], own=["mine==1"], markers=MARKERS)
    assert [str(package) for package in brought.packages] == ["numpy<2.0,>=1.23.5", "PyYAML>=6"]
    assert brought.opaque == []


def test_the_file_is_installed_before_what_the_image_brings_as_in_the_image() -> None:
    needs = Needs(
        own=parsed("mine"), file=parsed("numpy==2.1"), image=parsed("numpy<2"), constraints="numpy<3\n"
    )
    assert needs.steps() == (
        InstallStep(("numpy==2.1",), "numpy<3\n"),
        InstallStep(("mine", "numpy<2"), "numpy<3\n", never_built=("numpy",)),
    )
    unbound = Needs(file=parsed("numpy==2.1"), constraints="numpy<3\n", file_is_bound=False)
    assert unbound.steps() == (InstallStep(("numpy==2.1",)),)


def test_where_the_image_cannot_be_had_its_constraints_decide_and_the_truss_keeps_its_word() -> None:
    needs = Needs(own=parsed("mine==1"), image=parsed("numpy<2"))
    assert needs.steps(loosely=True) == (InstallStep(("mine==1", "numpy"), never_built=("numpy",)),)
    assert needs.steps(loosely=True, build_all=True) == (InstallStep(("mine==1", "numpy")),)


def test_requirement_on_this_package_stands_for_its_dependencies() -> None:
    needs = parsed("truss_async[s3]")
    assert needs.plugin
    assert {"pydantic", "smart-open", "boto3"} <= names(needs)
    assert "truss-async" not in names(needs)


@pytest.mark.parametrize("specifier", [f"=={VERSION}", f"=={VERSION.partition('.dev')[0]}", ">=0.0.1", ""])
def test_running_version_meets_a_requirement_on_it_or_on_the_release_it_leads_to(specifier: str) -> None:
    assert parsed(f"truss-async{specifier}").plugin


def test_requirement_on_another_version_of_this_package_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"truss-async==99, but truss-async \S+ is installed"):
        parsed("truss-async==99")


def test_lines_that_only_pip_understands_are_kept_for_it() -> None:
    lines = ["git+https://example.com/x.git", "--extra-index-url https://u:p@example.com", "./wheels/x.whl"]
    needs = parsed(*lines)
    assert needs.opaque == lines
    assert needs.unverifiable == [lines[0], lines[2]]
    assert needs.texts() == lines


def test_pip_file_is_read_with_its_includes_comments_and_continuations(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("extra # why\n")
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# all of it\n-r more.txt\none>=1 \\\n  --hash=sha256:aa\n-e ./mine\n./local\n-c limits.txt\n\n--pre\n"
    )
    assert read_pip_file(file) == [
        "extra",
        "one>=1",
        f"-e {tmp_path / 'mine'}",
        str(tmp_path / "local"),
        f"-c {tmp_path / 'limits.txt'}",
        "--pre",
    ]


def test_pip_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r b.txt")
    (tmp_path / "b.txt").write_text("-r a.txt")
    with pytest.raises(HarnessError, match="includes itself"):
        read_pip_file(tmp_path / "a.txt")


def test_missing_pip_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"nothing\.txt"):
        read_pip_file(tmp_path / "nothing.txt")


def interpreter(**installed: str) -> Interpreter:
    distributions = {
        canonicalize_name(name): Distribution(version, ()) for name, version in installed.items()
    }
    return Interpreter(Path("/python"), MARKERS, {str(name): found for name, found in distributions.items()})


def lacking(found: Interpreter, *lines: str) -> list[str]:
    return found.missing([Requirement(line) for line in lines])


def test_installed_package_within_its_bounds_is_not_missing() -> None:
    assert lacking(interpreter(Foo_Bar="1.2"), "foo.bar>=1") == []


def test_prerelease_that_is_installed_counts() -> None:
    assert lacking(interpreter(foo="2.0rc1"), "foo>=1") == []


def test_missing_and_unfit_packages_are_named_with_what_is_there() -> None:
    assert lacking(interpreter(foo="1.0"), "foo>=2", "bar") == ["foo>=2 (not 1.0)", "bar"]


def test_requirement_for_another_platform_is_not_missing() -> None:
    assert lacking(interpreter(), "foo; sys_platform == 'amiga'") == []


def test_dependencies_of_an_extra_are_looked_at() -> None:
    distribution = Distribution("1.0", ("plain", "bar>=3; extra == 'fast'", "baz; extra == 'slow'"))
    found = Interpreter(Path("/python"), MARKERS, {"foo": distribution})
    assert lacking(found, "foo[fast]") == ["bar>=3"]


def test_package_from_a_url_is_taken_as_missing() -> None:
    assert lacking(interpreter(foo="1.0"), "foo @ https://example.com/foo.whl") != []


def test_installed_version_that_the_constraints_forbid_is_out_of_bounds() -> None:
    constraints = "# Version bounds\n\nfoo>=1,<2  # why\nbar==3\n"
    assert interpreter(foo="2.1", baz="1").out_of_bounds(constraints) == ["foo<2,>=1 (not 2.1)"]
    assert interpreter(foo="1.1", bar="3").out_of_bounds(constraints) == []
