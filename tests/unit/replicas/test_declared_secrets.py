from __future__ import annotations

from typing import TYPE_CHECKING

from truss_async.replicas.declared_secrets import remark_on_secrets, without_value

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = {"secrets": {"in_file": None, "in_variable": None, "in_config": "x", "empty": "", "nowhere": None}}


def test_secrets_without_a_file_a_variable_or_a_value_are_named(tmp_path: Path) -> None:
    (tmp_path / "in_file").write_text("value")
    (tmp_path / "empty").write_text("")
    found = without_value(CONFIG, secrets_dir=tmp_path, environment={"TRUSS_SECRET_in_variable": "value"})
    assert found == ["empty", "nowhere"]


def test_truss_that_declares_none_lacks_none() -> None:
    declared: tuple[dict[str, object], ...] = ({}, {"secrets": None}, {"secrets": {}})
    for config in declared:
        assert without_value(config, secrets_dir=None, environment={}) == []


def test_a_name_that_can_be_no_file_has_no_value(tmp_path: Path) -> None:
    name = "n" * 300
    assert without_value({"secrets": {name: None}}, secrets_dir=tmp_path, environment={}) == [name]


def test_the_remark_tells_both_ways_to_give_them(tmp_path: Path) -> None:
    assert remark_on_secrets(["one", "two"], secrets_dir=tmp_path) == (
        "2 declared secrets have no value: one, two; a model that reads one fails. "
        f"Put each into a file with its name in {tmp_path}, or set TRUSS_SECRET_one"
    )
    assert "1 declared secret has no value: one; " in remark_on_secrets(["one"], secrets_dir=None)
    assert "a folder given with --secrets-dir" in remark_on_secrets(["one"], secrets_dir=None)
