"""A chain as deployments, and how its chainlets are told of each other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from truss_async.errors import HarnessError, SettingsError
from truss_async.replicas.chains import Chain, Chainlet, ChainSource, Sources, deployments_of_chain
from truss_async.replicas.chains.wiring import Platform
from truss_async.replicas.factory import make_replicas
from truss_async.replicas.host import ReplicaHost
from truss_async.replicas.settings import DeploymentSettings

PLATFORM = Platform("http://127.0.0.1:8090", "key")
CHAIN = Chain(
    "Report",
    ChainSource(Path("/home/me/report.py")),
    Chainlet("Entry", "Entry", Path("/t/chainlet_Entry"), ("Half",)),
    (Chainlet("Half", "Halving", Path("/t/chainlet_Half"), ()),),
)


def test_each_chainlet_is_a_deployment_of_the_chain() -> None:
    settings = DeploymentSettings(chain="report.py", replicas=2, environment="staging")
    entry, half = deployments_of_chain(CHAIN, settings, platform=PLATFORM)
    assert (entry.deployment_id, entry.model_id, entry.name) == ("report__Entry", "report__Entry", "Entry")
    assert (entry.chain_id, entry.truss_dir, entry.is_inner) == ("report", Path("/t/chainlet_Entry"), False)
    assert (half.deployment_id, half.chain_id, half.is_inner) == ("report__Half", "report", True)
    assert {(each.replicas, each.environment, each.chain) for each in (entry, half)} == {(2, "staging", None)}


def test_a_chainlet_can_differ_from_its_chain() -> None:
    settings = DeploymentSettings(
        chain="report.py",
        chain_id="r",
        chainlets={"Half": {"replicas": 3, "model_url": "http://127.0.0.1:9"}},
        replicas=2,
    )
    entry, half = deployments_of_chain(CHAIN, settings, platform=PLATFORM)
    assert (entry.replicas, half.replicas) == (2, 3)
    assert (half.truss_dir, str(half.model_url), half.deployment_id) == (
        None,
        "http://127.0.0.1:9/",
        "r__Half",
    )


def test_a_stub_stands_in_for_a_chainlet_and_has_its_truss(tmp_path: Path) -> None:
    answers = tmp_path / "halves.jsonl"
    answers.write_text('{"input": {"n": 2}, "output": 1}\n')
    settings = DeploymentSettings(chain="report.py", chainlets={"Half": {"stub": str(answers)}})
    entry, half = deployments_of_chain(CHAIN, settings, platform=PLATFORM)
    assert (entry.runs_truss, half.runs_truss, half.truss_dir) == (True, False, CHAIN.others[0].truss_dir)
    assert half.stub_answers.output_for({"n": 2}) == 1
    assert half.known_by == "/home/me/report.py:Half with a stub"
    answers.with_name("config.yaml").touch()
    said: list[str] = []
    host = ReplicaHost(workdir=tmp_path, report=said.append, on_line=lambda _: None)
    make_replicas(half.model_copy(update={"truss_dir": tmp_path}), host)
    assert said == [f"Half of chain report is a stub: it answers the one input of {answers}"]


@pytest.mark.parametrize(
    ("chainlets", "told"),
    [
        ({"Hafl": {}}, r"/home/me/report\.py has no chainlet Hafl; it has Entry, Half"),
        (
            {"Half": {"deployment_id": "x"}},
            "the chainlet Half cannot have a deployment_id of its own; it is the chain's",
        ),
        ({"Half": {"wiring": None}}, "the chainlet Half cannot have a wiring of its own"),
        ({"Half": {"replicas": -1}}, "the chainlet Half: replicas: "),
        ({"Half": {"replicsa": 1}}, "the chainlet Half: unknown key replicsa; did you mean 'replicas'\\?"),
    ],
)
def test_what_no_chainlet_can_have_is_refused(chainlets: dict[str, dict[str, object]], told: str) -> None:
    settings = DeploymentSettings(chain="report.py", chainlets=chainlets)
    with pytest.raises(SettingsError, match=f"^{told}"):
        deployments_of_chain(CHAIN, settings, platform=PLATFORM)


def test_chainlets_are_told_the_addresses_and_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    monkeypatch.delenv("no_proxy", raising=False)
    wiring = deployments_of_chain(CHAIN, DeploymentSettings(chain="report.py"), platform=PLATFORM)[0].wiring
    addresses = json.loads(wiring.dynamic_config["dynamic_chainlet_config"])
    assert addresses.keys() == {"Entry", "Halving"}
    assert addresses["Halving"] == {
        "predict_url": "http://127.0.0.1:8090/chain/report/deployment/report__Entry/chainlet/report__Half/run_remote",
        "internal_url": {
            "gateway_run_remote_url": "http://127.0.0.1:8090/deployment/report__Entry/chainlet/report__Half/run_remote",
            "hostname": "chain-report.localhost:8090",
        },
    }
    assert wiring.environment == {
        "TRUSS_SECRET_baseten_chain_api_key": "key",
        "NO_PROXY": "example.com,127.0.0.1",
        "no_proxy": "127.0.0.1",
    }
    assert wiring.source == Path("/home/me")


def test_a_truss_that_a_chain_includes_keeps_its_own_packages() -> None:
    included = replace(CHAIN, others=(replace(CHAIN.others[0], is_generated=False),))
    entry, half = deployments_of_chain(included, DeploymentSettings(chain="report.py"), platform=PLATFORM)
    assert (entry.wiring.source, half.wiring.source) == (Path("/home/me"), None)


def test_a_change_of_a_file_is_told_from_a_new_time(tmp_path: Path) -> None:
    source, copies = tmp_path / "chain", tmp_path / "chainlet_Entry" / "packages"
    for folder in (source, copies):
        folder.mkdir(parents=True)
        for name in ("report.py", "other.py", "gone.py"):
            (folder / name).write_text("before")
    (copies / "_model_dbg.py").write_text("made by truss")
    entry = Chainlet("Entry", "Entry", tmp_path / "chainlet_Entry", ())
    sources = Sources.of(Chain("C", ChainSource(source / "report.py"), entry, ()))
    assert sources.changed() == set()
    (source / "report.py").write_text("after!")
    (source / "gone.py").unlink()
    assert sources.changed() == {source / "report.py", source / "gone.py"}


def test_a_chain_is_not_served_together_with_a_model() -> None:
    with pytest.raises(ValueError, match="give a chain or a model, not both"):
        DeploymentSettings(chain="report.py", truss_dir=Path("truss"))
    with pytest.raises(ValueError, match="chainlets need a chain; give it, too"):
        DeploymentSettings(chainlets={"A": {}})


def test_a_chainlet_that_needs_what_is_not_here_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("trt_llm: {build: {}}\n")
    engine = replace(CHAIN.entry_point, truss_dir=tmp_path)
    (settings, _) = deployments_of_chain(
        replace(CHAIN, entry_point=engine), DeploymentSettings(chain="report.py"), platform=PLATFORM
    )
    host = ReplicaHost(workdir=tmp_path, report=lambda _: None, on_line=lambda _: None)
    with pytest.raises(HarnessError) as raised:
        make_replicas(settings, host)
    told = str(raised.value)
    assert told.startswith("the chainlet Entry cannot be served: its truss has no model.py: trt_llm ")
    assert "stub and model_url stand in the table [chain.chainlets.Entry] of a file for --deployments" in told
    assert str(tmp_path) not in told
