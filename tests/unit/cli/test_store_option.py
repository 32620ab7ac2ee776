"""``--store`` as a folder."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import CommandLine
from truss_async.cli.store_option import check_there, store_url
from truss_async.errors import SettingsError

STORED = {"request_id": "r1", "time": "2026-01-01T00:00:00Z", "data": {"text": "hello"}, "errors": []}


def test_a_folder_is_a_store(command_line: CommandLine) -> None:
    folder = command_line.folder / "my outputs"
    folder.mkdir()
    assert command_line.run("results", "list", "--store", "my outputs") == command_line.run(
        "results", "list", "--store", f"{folder.as_uri()}/"
    )
    (folder / "r1.json").write_text(json.dumps(STORED))
    for given in ("my outputs", "./my outputs", "my outputs/", str(folder), folder.as_uri()):
        outcome = command_line.run("results", "get", "r1", "--store", given, "--json")
        assert json.loads(outcome.stdout)["data"] == {"text": "hello"}


def test_an_empty_folder_is_a_store_and_an_absent_one_is_none(command_line: CommandLine) -> None:
    (command_line.folder / "empty").mkdir()
    outcome = command_line.run("results", "list", "--store", "empty")
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "")
    assert command_line.run("results", "list", "--store", "empty/er").code == 2


@pytest.mark.parametrize("given", ["s3://b/p", "memory://x", "file:///tmp/{date}"])
def test_a_url_stays_as_it_is(given: str) -> None:
    assert store_url(given) == given


def test_the_known_part_of_a_template_must_be_there(tmp_path: Path) -> None:
    check_there(f"{tmp_path.as_uri()}/{{model_id}}/{{date}}")
    check_there(f"{tmp_path.as_uri()}/of-{{date}}")
    assert store_url(f"{tmp_path}/{{date}}") == f"{tmp_path.as_uri()}/{{date}}"
    with pytest.raises(SettingsError, match="there is no folder"):
        check_there(f"{tmp_path.as_uri()}/absent/{{date}}")
