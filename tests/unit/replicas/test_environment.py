"""Which interpreter a truss gets: where something would be installed, the index is one that is not there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from truss_async.errors import HarnessError
from truss_async.replicas.context import BuildContext
from truss_async.replicas.environment import Environment, EnvironmentChoice
from truss_async.replicas.host import ReplicaHost
from truss_async.replicas.settings import DeploymentSettings
from truss_async.replicas.venv_cache import VenvCache

if TYPE_CHECKING:
    from truss_async.replicas.requirements import Needs

HERE = ".".join(map(str, sys.version_info[:2]))
ABSENT = "not-in-any-environment"


class Choosing:
    """Chooses for a truss in an empty folder; keeps the remarks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remarks: list[str] = []
        self.app_dir = folder / "app"
        self.app_dir.mkdir()
        (self.app_dir / "main.py").write_text("import json\nimport yaml\n")

    def choose(
        self,
        *,
        own: tuple[str, ...] = (),
        image: tuple[str, ...] = (),
        constraints: str = "",
        python_version: str = HERE,
        names_python: bool = True,
        **settings: Any,
    ) -> Environment:
        context = BuildContext(
            app_dir=self.app_dir,
            packages_dir=None,
            constraints=constraints,
            config={"python_version": f"py{python_version.replace('.', '')}"},
            own_requirements=own,
            file_requirements=(),
            image_requirements=(*image, *own),
            names_python=names_python,
            mistyped_keys={},
        )
        choice = EnvironmentChoice(
            context,
            DeploymentSettings(truss_dir=self.folder, cache_dir=self.folder / "cache", **settings),
            truss_dir=self.folder,
            cwd=self.folder,
            host=ReplicaHost(workdir=self.folder, report=print, on_line=print),
            remark=self.remarks.append,
        )
        return asyncio.run(choice.make())


@pytest.fixture
def choosing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Choosing:
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "no-pyenv"))
    return Choosing(tmp_path)


CURRENT = Environment(Path(sys.executable), isolated=False, adds_plugin=False)


def test_the_current_environment_is_used_when_it_meets_the_image(choosing: Choosing) -> None:
    assert choosing.choose(own=("truss-async",), image=("pyyaml>=5",), constraints="pyyaml>=5\n") == CURRENT
    assert choosing.remarks == []


def test_a_model_that_imports_the_plugin_gets_it_though_no_requirement_names_it_and_that_is_told(
    choosing: Choosing, monkeypatch: pytest.MonkeyPatch
) -> None:
    (choosing.app_dir / "model").mkdir()
    model = choosing.app_dir / "model" / "model.py"
    model.write_text("# import truss_async\nimport truss_async_other\n")
    assert choosing.choose() == CURRENT
    assert choosing.remarks == []
    model.write_text("import json\n\ndef predict():\n    from truss_async import save_output\n")
    assert choosing.choose() == CURRENT
    (remark,) = choosing.remarks
    assert "the model imports truss_async, which is not among the requirements" in remark
    assert "add truss-async to requirements" in remark
    choosing.remarks.clear()
    assert choosing.choose(own=("truss-async",)) == CURRENT
    assert choosing.remarks == []

    asked: list[Needs] = []

    async def ensure(_cache: VenvCache, needs: Needs, *, base: object) -> Path:
        asked.append(needs)
        return Path("made")

    monkeypatch.setattr(VenvCache, "ensure", ensure)
    assert choosing.choose(image=(ABSENT,)) == Environment(Path("made"), isolated=True, adds_plugin=True)
    assert "pydantic" in {each.name for each in asked[0].asked_for}


@pytest.mark.parametrize("lacking", [{"image": (ABSENT,)}, {"constraints": "pyyaml<1\n"}])
def test_what_the_image_alone_has_is_one_remark_where_nothing_may_be_installed(
    choosing: Choosing, lacking: dict[str, Any]
) -> None:
    assert choosing.choose(install=False, **lacking) == CURRENT
    (remark,) = choosing.remarks
    assert remark.startswith(f"{sys.executable} is used unchanged; the image differs in: ")


def test_what_the_truss_asks_for_or_the_server_imports_is_refused_where_it_is_missing(
    choosing: Choosing,
) -> None:
    (choosing.app_dir / "truss_server.py").write_text("import a_module_of_nobody.x\n")
    with pytest.raises(HarnessError) as caught:
        choosing.choose(own=(ABSENT,), python=sys.executable)
    assert str(caught.value) == (
        f"{sys.executable} lacks {ABSENT}, a_module_of_nobody, and --no-install forbids installing it: install "
        "it there, or remove --python"
    )


@pytest.mark.parametrize(
    ("names_python", "said"),
    [
        (True, "python_version in config.yaml is 3.99; replicas run on"),
        (False, "config.yaml sets no python_version, so truss uses 3.99; replicas run on"),
    ],
)
def test_the_remark_on_python_tells_the_default_of_truss_from_the_users_word(
    choosing: Choosing, names_python: bool, said: str
) -> None:
    assert choosing.choose(python_version="3.99", names_python=names_python) == CURRENT
    (remark,) = choosing.remarks
    assert remark.startswith(f"{said} {HERE} here, since no Python 3.99 was found on PATH")
    assert "install one (uv python install 3.99), or choose with --python" in remark


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"python": sys.executable}, "because of --python"),
        ({"python": HERE}, "because of --python"),
        ({"install": False}, "because of --no-install"),
    ],
)
def test_the_remark_on_python_says_whose_choice_it_was(
    choosing: Choosing, settings: dict[str, Any], why: str
) -> None:
    choosing.choose(python_version="3.99", **settings)
    assert choosing.remarks[0].endswith(f"; replicas run on {HERE} here, {why}")


def test_a_version_that_no_python_here_has_is_refused_with_what_to_do(choosing: Choosing) -> None:
    with pytest.raises(HarnessError, match=r"no Python 3\.99 was found .*uv python install 3\.99"):
        choosing.choose(python="3.99")
