"""What is read of the trusses that truss makes of a chain, without truss."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from truss_async.errors import HarnessError
from truss_async.replicas.chains.chain import Chain, ChainSource, read_chain

if TYPE_CHECKING:
    from collections.abc import Mapping


def make(folder: Path, chainlets: Mapping[str, Mapping[str, str] | None]) -> Path:
    """The trusses of chainlets; of each, by class, the names of those that it calls. None: a truss of any kind."""
    for name, calls in chainlets.items():
        truss = folder / f"chainlet_{name}"
        truss.mkdir(parents=True)
        config: dict[str, Any] = {"model_name": f"{name}-1a2b"}
        if calls is not None:
            services = {
                each: {"name": each, "display_name": shown, "options": {"retries": 1}}
                for each, shown in calls.items()
            }
            config["model_metadata"] = {"chains_metadata": {"chainlet_to_service": services}}
        (truss / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def read(folder: Path) -> Chain:
    return read_chain(folder, ChainSource(Path("somewhere", "report.py")))


def test_the_entry_point_is_the_chainlet_that_no_other_calls(tmp_path: Path) -> None:
    made = {"A": {}, "Entry": {"B": "B", "Plain": "plain truss"}, "B": {"A": "The A"}, "Plain": None}
    chain = read(make(tmp_path / "Report Maker-2", made))
    assert (chain.name, chain.id) == ("Report Maker-2", "report_maker_2")
    assert [each.name for each in chain.chainlets] == ["Entry", "A", "B", "Plain"]
    assert chain.entry_point.calls == ("B", "Plain")
    assert {each.name: each.display_name for each in chain.others} == {
        "A": "The A",
        "B": "B",
        "Plain": "plain truss",
    }
    assert chain.entry_point.truss_dir == tmp_path / "Report Maker-2" / "chainlet_Entry"


def test_a_lone_chainlet_is_a_chain(tmp_path: Path) -> None:
    chain = read(make(tmp_path / "Only", {"Only": {}}))
    assert (chain.entry_point.name, chain.others, chain.id) == ("Only", (), "only")


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({}, "no chainlet"),
        ({"A": {}, "B": {}}, "A, B; one chainlet must be the one that no other depends on"),
        ({"A": {"Missing": "Missing"}}, "A; one chainlet"),
        ({"A": {"B": "B"}, "B": {"A": "A"}}, "A, B; one chainlet"),
    ],
)
def test_what_is_no_chain_is_refused(tmp_path: Path, made: dict[str, dict[str, str]], told: str) -> None:
    with pytest.raises(HarnessError, match=rf"truss made of somewhere/report\.py what is no chain: {told}"):
        read(make(tmp_path / "X", made))


@pytest.mark.parametrize(
    "config", ["[", "- 1", "model_metadata: {chains_metadata: {chainlet_to_service: 3}}"]
)
def test_a_config_that_is_none_is_told_with_its_place(tmp_path: Path, config: str) -> None:
    (tmp_path / "chainlet_A").mkdir()
    (tmp_path / "chainlet_A" / "config.yaml").write_text(config)
    with pytest.raises(HarnessError, match=r"cannot read .*chainlet_A/config\.yaml, which truss has made: "):
        read(tmp_path)


def test_a_chain_is_named_by_its_file_and_the_class_of_its_entry_point(tmp_path: Path) -> None:
    file = tmp_path / "my_chain.py"
    with pytest.raises(HarnessError, match=r"/my_chain\.py does not exist; give the Python file of a chain"):
        ChainSource.parse(str(file))
    file.touch()
    assert ChainSource.parse(str(file)) == ChainSource(file)
    assert ChainSource.parse(f"{file}:Entry_1") == ChainSource(file, "Entry_1")
    for wrong in ("my_chain", "my_chain.py:", "my_chain.py:1x", ".py", ""):
        with pytest.raises(HarnessError, match="is not a chain; give a Python file"):
            ChainSource.parse(wrong)
