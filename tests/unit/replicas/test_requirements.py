from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from truss_async.errors import HarnessError
from truss_async.replicas.interpreter import Distribution, Interpreter
from truss_async.replicas.requirements import Needs, collect_needs, read_pip_file

MARKERS: dict[str, str] = {key: str(value) for key, value in default_environment().items()}
VERSION = importlib.metadata.version("truss-async")


def names(needs: Needs) -> set[str]:
    return {canonicalize_name(package.name) for package in needs.packages}


def test_server_is_needed_by_every_truss_with_the_bounds_of_the_harness_extra() -> None:
    needs = collect_needs([], markers=MARKERS)
    assert {"fastapi", "uvicorn", "pyyaml", "opentelemetry-sdk", "msgpack-numpy"} <= names(needs)
    assert not {"truss", "aiohttp", "rich"} & names(needs)
    (fastapi,) = [package for package in needs.packages if package.name == "fastapi"]
    assert "0.137" in str(fastapi.specifier)


def test_what_the_truss_asks_for_goes_before_what_the_server_would_take() -> None:
    needs = collect_needs(["FastAPI==0.120"], markers=MARKERS)
    assert [str(package) for package in needs.packages if canonicalize_name(package.name) == "fastapi"] == [
        "FastAPI==0.120"
    ]


def test_requirement_on_this_package_stands_for_its_dependencies() -> None:
    needs = collect_needs(["truss_async[s3]"], markers=MARKERS)
    assert needs.plugin
    assert {"pydantic", "smart-open", "boto3"} <= names(needs)
    assert "truss-async" not in names(needs)


@pytest.mark.parametrize("specifier", [f"=={VERSION}", f"=={VERSION.partition('.dev')[0]}", ">=0.0.1", ""])
def test_running_version_meets_a_requirement_on_it_or_on_the_release_it_leads_to(specifier: str) -> None:
    assert collect_needs([f"truss-async{specifier}"], markers=MARKERS).plugin


def test_requirement_on_another_version_of_this_package_is_refused() -> None:
    with pytest.raises(HarnessError, match=r"truss-async==99, but truss-async \S+ is running"):
        collect_needs(["truss-async==99"], markers=MARKERS)


def test_lines_that_only_pip_understands_are_kept_for_it() -> None:
    lines = ["git+https://example.com/x.git", "--extra-index-url https://u:p@example.com", "./wheels/x.whl"]
    needs = collect_needs(lines, markers=MARKERS)
    assert needs.opaque == lines
    assert needs.unverifiable == [lines[0], lines[2]]
    assert needs.lines()[:3] == lines


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
    return found.missing(Needs(packages=[Requirement(line) for line in lines]))


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
