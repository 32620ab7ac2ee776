from pathlib import Path

import pytest

from truss_async.errors import SettingsError
from truss_async.harness.deployments_file import deployments_of_folders, read_deployments

TWO = """
[[deployment]]
model_id = "ocr"
model_name = "OCR"
truss_dir = "trusses/ocr"
replicas = 2

[[deployment]]
model_id = "ocr"
deployment_id = "next"
environment = "staging"
model_url = "http://127.0.0.1:8080"
"""


def test_a_folder_names_its_model() -> None:
    first, second = deployments_of_folders([Path("a/my-model"), Path("b")], {"replicas": 3})
    assert (first.model_id, first.deployment_id, first.truss_dir) == (
        "my_model",
        "my_model1",
        Path("a/my-model"),
    )
    assert (second.model_id, second.replicas) == ("b", 3)


def test_a_file_describes_deployments_with_paths_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "deployments.toml"
    file.write_text(TWO)
    first, second = read_deployments(file, {"install": False})
    assert (first.name, first.truss_dir, first.replicas) == ("OCR", tmp_path / "trusses" / "ocr", 2)
    assert (first.deployment_id, first.environment, first.install) == ("ocr1", "production", False)
    assert (second.name, second.deployment_id, second.environment) == ("ocr", "next", "staging")


def test_a_file_describes_chains_and_what_differs_for_a_chainlet(tmp_path: Path) -> None:
    file = tmp_path / "deployments.toml"
    file.write_text(
        f"{TWO}\n[[chain]]\nfile = 'chains/my_chain.py:Entry'\nchain_id = 'mine'\n"
        "[chain.chainlets.Half]\nreplicas = 3\nsecrets_dir = 'secrets'\n"
    )
    *_, chain = read_deployments(file, {"install": False})
    assert (chain.chain, chain.chain_id) == (str(tmp_path / "chains" / "my_chain.py:Entry"), "mine")
    assert chain.chainlets == {"Half": {"replicas": 3, "secrets_dir": tmp_path / "secrets"}}
    assert chain.install is False


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "chains.md").read_text()
    file = tmp_path / "deployments.toml"
    file.write_text(page.partition("```toml\n")[2].partition("```")[0])
    (chain,) = read_deployments(file, {})
    assert (chain.chain, chain.replicas) == (str(tmp_path / "my_chain.py:Reporter"), 2)
    assert chain.chainlets == {
        "Halver": {"replicas": 4},
        "LanguageModel": {"model_url": "http://127.0.0.1:9000"},
        "Painter": {"latency_seconds": "2s", "stub": {"image": "s3://bucket/a.png"}},
    }


def test_chains_and_trusses_are_served_side_by_side() -> None:
    chain, truss = deployments_of_folders([Path("a/my_chain.py:Entry"), Path("b")], {"replicas": 2})
    assert (chain.chain, chain.replicas, chain.truss_dir) == ("a/my_chain.py:Entry", 2, None)
    assert truss.truss_dir == Path("b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[deployment]", "is not valid TOML"),
        ("", r"describes no deployment; start each with \[\[deployment\]\]"),
        ("deployment = 1", "describes no deployment"),
        ("deployment = [1]", "describes no deployment"),
        ("[[deployments]]", r"unknown key deployments; known are \[\[deployment\]\] and \[\[chain\]\]"),
        ("chain = 1", "describes no chain"),
        ("[[chain]]", r"chain 1: give its file, as in file = "),
        ("[[chain]]\nfile = 'my_chain'", r"chain 1: give its file, as in file = "),
        ("[[chain]]\nfile = 'c.py'\ntruss_dir = 'x'", "chain 1: give a chain or a model, not both"),
        ("[[chain]]\nfile = 'c.py'\nchainlets = 1", r"into a table \[chain\.chainlets\.CLASS\]"),
        ("[[chain]]\nfile = 'c.py'\nreplicsa = 1", "chain 1: unknown key replicsa"),
        (
            "[[deployment]]\ntruss_folder = 1",
            "deployment 1: unknown key truss_folder; did you mean 'truss_dir'",
        ),
        ("[[deployment]]\nmodel_id = 1", "deployment 1: model_id: Input should be a valid string"),
        ("[[deployment]]\nmodel_id = 'a b'", "deployment 1: model_id: String should match pattern"),
        ("[[deployment]]", "deployment 1: give a truss folder, a model URL or a stub"),
        ("[[deployment]]\nmodel = 'x'", "deployment 1: model can be given in Python only"),
        ("[[deployment]]\ntruss_dir = 'x'\nmodel_url = 'http://y'", "not both"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "deployments.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=message):
        read_deployments(file, {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*missing\.toml: No such file"):
        read_deployments(tmp_path / "missing.toml", {})
