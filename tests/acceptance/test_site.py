"""The documentation: it builds without a warning, asks no other host for anything, and what it tells to do works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.pages import Reader, blocks
from tests.acceptance.serving import ROOT

FOLLOWED = ["docs/tutorial.md", "docs/batch.md", "docs/tables.md"]
"""Pages that are followed from their first block to their last."""


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


@pytest.mark.parametrize("page", FOLLOWED)
def test_a_page_can_be_followed(page: str, tmp_path: Path) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    with Reader(folder) as reader:
        for block in blocks((ROOT / page).read_text()):
            reader.follow(block)


def test_every_message_in_troubleshooting_is_one_of_ours() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text()
    code = re.sub(
        r'"\s*\n\s*f?"', "", "\n".join(file.read_text() for file in (ROOT / "truss_async").rglob("*.py"))
    )
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 10
    assert [message for message in messages if message not in code] == []
