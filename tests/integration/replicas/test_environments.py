"""Interpreters that run a truss: found, refused, made. Asks the package index for a few small packages."""

from __future__ import annotations

import asyncio
import platform
import sys
import textwrap
import venv
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import HarnessError
from truss_async.replicas.installers import find_uv
from truss_async.replicas.interpreter import probe
from truss_async.replicas.requirements import Needs, read_lines
from truss_async.replicas.venv_cache import VenvCache

if TYPE_CHECKING:
    from tests.integration.replicas.conftest import Stage

# Small, without dependencies, and not in the environment that runs the tests.
SMALL_PACKAGE = "text-unidecode"
ECHO = "class Model:\n    def predict(self, x): return x"


def test_requirements_that_the_current_environment_meets_are_not_installed_again(stage: Stage) -> None:
    replica = stage.started(stage.truss(ECHO, requirements=["pydantic>=2", "truss-async[s3]"]))
    assert stage.predict(replica, 1) == 1


def test_missing_requirement_is_named_when_nothing_may_be_installed(stage: Stage) -> None:
    (replica,) = stage.replicas(stage.truss(ECHO, requirements=[SMALL_PACKAGE]))
    with pytest.raises(HarnessError, match=rf"{SMALL_PACKAGE}, and --no-install forbids.*--no-install"):
        stage.run(replica.start())


def test_given_interpreter_that_lacks_something_is_refused_by_name(stage: Stage) -> None:
    venv.create(stage.folder / "bare", with_pip=False)
    python = stage.folder / "bare" / "bin" / "python"
    (replica,) = stage.replicas(stage.truss(ECHO), python=python)
    with pytest.raises(HarnessError, match=rf"{python} lacks .*fastapi.*--python"):
        stage.run(replica.start())


def test_given_interpreter_that_is_none_is_refused(stage: Stage) -> None:
    for python in (stage.folder / "nothing", "/bin/echo"):
        with pytest.raises(HarnessError, match=f"{python}"):
            stage.started(stage.truss(ECHO), python=python)


def test_given_interpreter_is_used_with_what_it_has(stage: Stage) -> None:
    model = "import sys\nclass Model:\n    def predict(self, x): return sys.executable"
    replica = stage.started(stage.truss(model), python=sys.executable)
    assert stage.predict(replica, 0) == sys.executable


def test_missing_requirements_are_installed_once_into_an_environment_that_is_kept(stage: Stage) -> None:
    model = """
        import importlib.util
        import os
        import sys

        import text_unidecode
        import truss_async
        from truss_async.contract import AsyncPredictResult

        class Model:
            def predict(self, model_input):
                return {
                    "text": text_unidecode.unidecode(model_input),
                    "prefix": sys.prefix,
                    "first_on_path": os.environ["PATH"].split(":")[0],
                    "plugin": truss_async.__file__,
                    "whole_package": importlib.util.find_spec("truss_async.harness") is not None,
                    "truss": importlib.util.find_spec("truss") is not None,
                }
    """
    truss = stage.truss(textwrap.dedent(model), requirements_file="needs.txt")
    (truss / "needs.txt").write_text(f"-r more.txt\n{SMALL_PACKAGE}  # small\n")
    (truss / "more.txt").write_text("truss-async\n")
    cache_dir = stage.folder / "cache"
    for _ in range(2):
        replica = stage.started(truss, cache_dir=cache_dir, install=True)
        answer = stage.predict(replica, "é")
        stage.run(replica.stop())
    assert answer["text"] == "e"
    assert answer["prefix"].startswith(str(cache_dir))
    assert answer["first_on_path"] == f"{answer['prefix']}/bin"
    assert answer["plugin"] == str(
        stage.folder / "work" / "truss1" / "replica-1" / "plugin" / "truss_async" / "__init__.py"
    )
    assert (answer["whole_package"], answer["truss"]) == (False, False)
    assert sum(line.startswith("installing the requirements of the truss") for line in stage.reported) == 1


class Installs:
    """A cache of environments that need one small package."""

    def __init__(self, folder: Path, *, uv: Path | None) -> None:
        self.reported: list[str] = []
        self.cache = VenvCache(folder, clock=SYSTEM_CLOCK, report=self.reported.append, uv=uv)
        self.folder = folder

    async def ensure(self, requirement: str, *, constraints: str = "") -> Path:
        base = await probe(Path(sys.executable), isolated=False, cwd=self.folder.parent)
        needs = Needs(own=read_lines([requirement], markers=base.markers), constraints=constraints)
        return await self.cache.ensure(needs, base=base)


@pytest.fixture(params=["uv", "pip"])
def uv(request: pytest.FixtureRequest) -> Path | None:
    if request.param == "pip":
        return None
    uv = find_uv()
    assert uv is not None, "uv is not installed: make install"
    return uv


def test_environment_is_made_once_by_two_at_once_and_anew_after_an_interruption(
    tmp_path: Path, uv: Path | None
) -> None:
    installs, others = Installs(tmp_path / "cache", uv=uv), Installs(tmp_path / "cache", uv=uv)

    async def main() -> None:
        python, same = await asyncio.gather(installs.ensure(SMALL_PACKAGE), others.ensure(SMALL_PACKAGE))
        assert python == same
        made = [
            line
            for line in installs.reported + others.reported
            if line.startswith("installing the requirements")
        ]
        assert len(made) == 1
        assert any("waiting for another process" in line for line in installs.reported + others.reported)
        # As an interruption leaves it: things are there, but not the mark that all of them are.
        (python.parent.parent / ".complete").unlink()
        (python.parent.parent / "half").touch()
        assert await installs.ensure(SMALL_PACKAGE) == python
        assert not (python.parent.parent / "half").exists()
        made_of = await probe(python, isolated=True, cwd=tmp_path)
        assert {SMALL_PACKAGE, "pip"} <= made_of.installed.keys()
        assert made_of.markers["python_full_version"] == platform.python_version()

    asyncio.run(main())


def test_requirement_that_cannot_be_installed_is_named_with_pips_own_words(
    tmp_path: Path, uv: Path | None
) -> None:
    installs = Installs(tmp_path / "cache", uv=uv)
    with pytest.raises(
        HarnessError, match=rf"No matching distribution found for {SMALL_PACKAGE}==0\.0\.0\.1"
    ):
        asyncio.run(installs.ensure(f"{SMALL_PACKAGE}==0.0.0.1"))
    assert any(line.startswith("  ERROR:") for line in installs.reported)
    assert ("uv could not install them; trying pip" in installs.reported) is (uv is not None)


def test_what_no_index_has_ends_the_attempt_at_once(tmp_path: Path, uv: Path | None) -> None:
    """uv says so in a moment; pip would look for minutes for what is not there."""
    installs = Installs(tmp_path / "cache", uv=uv)
    said = (
        "no-such-package-at-all was not found in any package index"
        if uv
        else "No matching distribution found for no-such"
    )
    with pytest.raises(HarnessError, match=said):
        asyncio.run(installs.ensure("no-such-package-at-all"))
    assert "uv could not install them; trying pip" not in installs.reported


def test_pip_installs_what_uv_cannot(tmp_path: Path) -> None:
    installs = Installs(tmp_path / "cache", uv=tmp_path / "uv-that-is-not-there")
    python = asyncio.run(installs.ensure(SMALL_PACKAGE))
    assert SMALL_PACKAGE in asyncio.run(probe(python, isolated=True, cwd=tmp_path)).installed
    assert "uv could not install them; trying pip" in installs.reported


def test_packages_come_from_where_pip_would_take_them(
    tmp_path: Path, uv: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = "only_here-1.0.dist-info"
    with zipfile.ZipFile(tmp_path / "only_here-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: only-here\nVersion: 1.0\n")
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    installs = Installs(tmp_path / "cache", uv=uv)
    python = asyncio.run(installs.ensure("only-here"))
    assert "only-here" in asyncio.run(probe(python, isolated=True, cwd=tmp_path)).installed
    assert not [line for line in installs.reported if "trying pip" in line]
