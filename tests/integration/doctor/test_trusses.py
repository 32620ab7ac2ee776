"""What a truss's config would do here, asked of truss itself."""

from pathlib import Path

import pytest

from truss_async.doctor.trusses import truss
from truss_async.replicas.settings import DeploymentSettings
from truss_async.shipping.starter import write_starter_truss


def rows(folder: Path, **settings: object) -> dict[tuple[str, str], str]:
    found = truss(folder, DeploymentSettings.model_validate({"truss_dir": folder, **settings}))
    told: dict[tuple[str, str], str] = {}
    for each in found:
        place = each.check, each.outcome
        told[place] = f"{told.get(place, '')} {each.found} {each.remedy}".strip()
    return told


def test_a_truss_can_be_served_and_what_differs_from_its_image_is_noted(tmp_path: Path) -> None:
    folder = tmp_path / "hello"
    write_starter_truss(folder)
    with (folder / "config.yaml").open("a") as config:
        config.write("system_packages: [ffmpeg]\nsecrets: {hf_token: null}\nbuild_comands: [make]\n")
    found = rows(folder, cache_dir=tmp_path / "cache")
    assert found["config.yaml", "ok"] == f"truss accepts {folder}"
    assert found["environment", "ok"].startswith("Python 3.")
    assert not (tmp_path / "cache").exists()
    assert "system_packages are not installed here" in found["config.yaml", "note"]
    assert "did you mean 'build_commands'?" in found["config.yaml", "note"]
    assert "1 declared secret has no value: hf_token" in found["secrets", "note"]


@pytest.mark.parametrize(
    ("config", "settings", "row", "told"),
    [
        ("resources: {accelerator: H9000}\n", {}, "config.yaml", "truss does not accept"),
        (
            "requirements: [no-such-package-anywhere]\n",
            {"install": False},
            "environment",
            "lacks no-such-package",
        ),
    ],
)
def test_what_cannot_be_served_is_to_be_mended(
    tmp_path: Path, config: str, settings: dict[str, object], row: str, told: str
) -> None:
    write_starter_truss(tmp_path)
    (tmp_path / "config.yaml").write_text(f"model_name: x\npython_version: py311\n{config}")
    assert told in rows(tmp_path, **settings)[row, "failed"]
