"""What of others is shipped: unchanged, with its licence, and small."""

import gzip
import sys
from hashlib import sha256
from typing import Any

import pytest

from truss_async.page.static_files import FOLDER, static_file, static_url

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

VENDORED: list[dict[str, Any]] = tomllib.loads((FOLDER / "VENDORED.toml").read_text())["file"]
OURS = {"page.css", "page.js", "icon.svg", "VENDORED.toml"}


@pytest.mark.parametrize("vendored", VENDORED, ids=lambda each: each["name"])
def test_what_is_of_others_is_as_they_made_it_and_has_its_licence(vendored: dict[str, Any]) -> None:
    assert sha256((FOLDER / vendored["name"]).read_bytes()).hexdigest() == vendored["sha256"]
    assert "Permission" in (FOLDER / vendored["license_file"]).read_text()


def test_every_file_is_ours_or_is_said_to_be_of_others() -> None:
    named = {each["name"] for each in VENDORED} | {each["license_file"] for each in VENDORED}
    assert {each.name for each in FOLDER.iterdir()} == OURS | named


def test_a_file_is_sent_as_it_is_and_its_url_changes_with_it() -> None:
    found = static_file("page.css")
    assert found is not None
    assert gzip.decompress(found.packed) == found.body
    assert found.digest in static_url("page.css")
    assert static_file("../app.py") is None
    with pytest.raises(FileNotFoundError):
        static_url("none.js")
