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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[deployment]", "is no valid TOML"),
        ("", r"describes no deployment; begin each one with \[\[deployment\]\]"),
        ("deployment = 1", "describes no deployment"),
        ("deployment = [1]", "describes no deployment"),
        ("[[deployments]]", r"unknown key deployments; there is only \[\[deployment\]\]"),
        (
            "[[deployment]]\ntruss_folder = 1",
            "deployment 1: unknown key truss_folder; there are: truss_dir, model_url",
        ),
        ("[[deployment]]\nmodel_id = 1", "deployment 1: model_id: Input should be a valid string"),
        ("[[deployment]]\nmodel_id = 'a b'", "deployment 1: model_id: String should match pattern"),
        ("[[deployment]]", "deployment 1: give a truss folder or a model URL"),
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
