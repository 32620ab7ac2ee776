"""The documentation: it builds without a warning, asks no other host for anything, and what it tells to do works."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.acceptance.pages import Block, Reader, blocks
from tests.acceptance.serving import ROOT
from tests.postgres_server import reachable_by_any_name
from truss_async.demo.s3_server import S3Server

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    *sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")),
]
FOLLOWED = [page for page in PAGES if any(block.is_followed for block in blocks((ROOT / page).read_text()))]
"""Pages that are followed from their first block to their last."""

NOT_RUN = {
    "README.md": ["the reader's own environment"],
    "CONTRIBUTING.md": ["it is what runs this"],
    "docs/batch.md": ["it needs an account", *["it needs a model that saves its outputs"] * 2],
    "docs/production.md": ["it needs an account"],
    "docs/receiving.md": ["this receiver stands behind a proxy that takes 2 MB"],
    "docs/several-machines.md": ["the reader's own environment"],
    "docs/tables.md": [
        *["the reader's own environment"] * 2,
        "DuckDB loads its extension from its own host",
        "`make ray` runs it on an S3 server",
    ],
    "docs/testing.md": ["what a failing test of the reader's prints"],
    "docs/troubleshooting.md": ["it depends on the machine"],
    "docs/tutorial.md": ["the reader's own environment"],
}
"""Every block that nothing runs, and why not: one more is one more here."""

OWN_TESTS = {
    "README.md": "acceptance/test_readme.py",
    "docs/architecture.md": "unit/test_architecture.py",
    "docs/chains.md": "unit/harness/test_deployments_file.py",
    "docs/faults.md": "acceptance/test_faults_page.py",
    "docs/receiving.md": "acceptance/test_receiving.py",
    "docs/tables.md": "integration/stores/test_table_recipes.py",
    "docs/testing.md": "acceptance/test_pytest_plugin.py",
}
"""Where the blocks under ``<!-- test: NAME -->`` run."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [
        str(Path(sys.executable).with_name("mkdocs")),
        "build",
        "--quiet",
        "--strict",
        "--site-dir",
        str(folder),
    ]
    nowhere = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    loading = re.compile(
        r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?(?:https?:)?//[^>]*>"
    )
    pages = list(site.rglob("*.html"))
    assert len(pages) > 15
    found = {page.name: loads for page in pages if (loads := loading.findall(page.read_text()))}
    assert found == {}


def test_every_command_has_its_part_in_the_reference(site: Path) -> None:
    from truss_async.cli.app import COMMANDS

    page = (site / "reference" / "commands.html").read_text()
    assert [name for name in COMMANDS if f"truss-async {name}" not in page] == []


def test_every_exported_name_has_its_part_in_the_reference(site: Path) -> None:
    import truss_async

    page = (site / "reference" / "python.html").read_text()
    assert [name for name in dir(truss_async) if f".{name}" not in page and not name.startswith("_")] == []


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The surroundings of a reader who has the bucket that the pages name, on a server that all of them share."""
    with S3Server() as server:
        server.create_bucket("my-bucket")
        yield server.environment()


@pytest.fixture(scope="module")
def database() -> Iterator[dict[str, str]]:
    """The surroundings of a reader who has PostgreSQL's own commands, and a server that is the host which they name."""
    with reachable_by_any_name(fsync="on", full_page_writes="on") as (server, variables):
        path = (Path(sys.executable).parent, server.programs / "bin", os.environ["PATH"])
        yield {**variables, "PATH": os.pathsep.join(map(str, path))}


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed(page: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    surroundings = [request.getfixturevalue("bucket")]
    if "db.internal" in (ROOT / page).read_text():
        surroundings.append(request.getfixturevalue("database"))
    with Reader(folder, environment={**surroundings[0], **surroundings[-1]}) as reader:
        for block in blocks((ROOT / page).read_text()):
            reader.follow(block)


def test_no_block_escapes_the_reader() -> None:
    """A fence that is indented, or names no language, would be passed over."""
    for page in PAGES:
        text = (ROOT / page).read_text()
        fences = re.findall(r"^[ >]*(?:```|~~~)", text, re.MULTILINE)
        given = len(re.findall(r"^<!-- given", text, re.MULTILINE))
        assert len(fences) == 2 * (len(blocks(text)) - given), page


def test_what_no_test_runs_is_listed_with_its_reason() -> None:
    found = {
        page: [block.said for block in blocks((ROOT / page).read_text()) if block.mark == "not run"]
        for page in PAGES
    }
    assert {page: said for page, said in found.items() if said} == NOT_RUN


def test_what_a_test_of_its_own_runs_is_known_there() -> None:
    for page in PAGES:
        names = [block.test for block in blocks((ROOT / page).read_text()) if block.test is not None]
        if names:
            assert (ROOT / page).name in (ROOT / "tests" / OWN_TESTS[page]).read_text()


@pytest.mark.parametrize("language", ["python", "sh", "text", "yaml", "json", "toml"])
def test_the_reader_finds_what_does_not_work(language: str, tmp_path: Path) -> None:
    wrong = {"python": "nowhere\n", "sh": "false\n", "text": "never said\n"}.get(language, "{[\n")
    (tmp_path / "reader").mkdir()
    with Reader(tmp_path / "reader") as reader:
        reader.follow(Block("sh", None, None, None, "echo said\n"))
        with pytest.raises((AssertionError, ValueError, yaml.YAMLError)):
            reader.follow(Block(language, None, None, None, wrong))


def test_every_message_in_troubleshooting_is_one_of_ours() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    code = re.sub(
        r'"\s*\n\s*f?"', "", "\n".join(file.read_text() for file in (ROOT / "truss_async").rglob("*.py"))
    )
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 10
    assert [message for message in messages if message not in code] == []
