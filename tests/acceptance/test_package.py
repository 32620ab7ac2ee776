"""The example, packaged, is what truss push would ship, and runs from there in an environment of its own."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import platformdirs
import pytest
import yaml

from truss_async.clock import SYSTEM_CLOCK
from truss_async.contract import ArtifactReference
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.replicas.installers import find_uv
from truss_async.replicas.interpreter import probe
from truss_async.replicas.requirements import Needs, brought_by_image, read_lines
from truss_async.replicas.venv_cache import VenvCache
from truss_async.shipping import CONTAINER_PART
from truss_async.stores import OutputStore

EXAMPLE = Path(__file__).parents[2] / "example_truss"
COMMAND = Path(sys.executable).with_name("truss-async")


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the example, packaged by the installed command."""
    copy = tmp_path_factory.mktemp("push") / "example_truss"
    shutil.copytree(EXAMPLE, copy, ignore=shutil.ignore_patterns("packages", "__pycache__"))
    run = subprocess.run([COMMAND, "package", copy], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == f"ready: truss push {copy}"
    return copy


@pytest.fixture(scope="module")
def context(packaged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The build context that truss makes of it."""
    folder = tmp_path_factory.mktemp("context")
    command: list[str | Path] = [COMMAND.with_name("truss"), "image", "build-context", folder, packaged]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def python(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has the context's requirements, what the server imports, and nothing else."""

    async def make() -> Path:
        base = await probe(Path(sys.executable), isolated=False, cwd=tmp_path_factory.mktemp("probe"))
        requirements = yaml.safe_load((context / "config.yaml").read_text())["requirements"]
        cache = VenvCache(
            platformdirs.user_cache_path("truss-async") / "environments",
            clock=SYSTEM_CLOCK,
            report=print,
            uv=find_uv(),
        )
        lines = (context / "requirements.txt").read_text().splitlines()
        needs = Needs(
            own=read_lines(requirements, markers=base.markers),
            image=brought_by_image(lines, own=requirements, markers=base.markers),
            constraints=(context / "constraints.txt").read_text(),
        )
        return await cache.ensure(needs, base=base)

    return asyncio.run(make())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> OutputStore:
    """Where the harness has a model keep its outputs that asks for a local store, as the example does."""
    return OutputStore.from_url((tmp_path_factory.mktemp("state") / "outputs").as_uri())


@pytest.fixture(scope="module")
def harness(packaged: Path, python: Path, outputs: OutputStore) -> Iterator[Harness]:
    state_dir = Path(outputs.url.removeprefix("file://")).parent
    settings = HarnessSettings(truss_dir=packaged, port=0, python=python, state_dir=state_dir)
    with Harness(settings) as running:
        yield running


def predict(harness: Harness, model_input: dict[str, str]) -> httpx.Response:
    return httpx.post(
        f"{harness.url}/production/predict",
        json=model_input,
        headers={"Authorization": "Api-Key k"},
        timeout=120,
        trust_env=False,
    )


def test_the_build_context_holds_the_plugin_and_nothing_of_the_harness(context: Path) -> None:
    assert {path.name for path in (context / "packages").iterdir()} == {"truss_async"}
    assert {path.name for path in (context / "packages" / "truss_async").iterdir()} == set(CONTAINER_PART)
    requirements = (context / "requirements.txt").read_text().splitlines()
    assert not [line for line in requirements if line.startswith("truss-async")]
    assert [line for line in requirements if line.startswith("pydantic>=")]


@pytest.mark.timeout(600)  # the first time, the environment is installed
def test_the_packaged_truss_saves_its_outputs_without_truss_async_installed(
    harness: Harness, python: Path, outputs: OutputStore
) -> None:
    elsewhere = subprocess.run(
        [python, "-I", "-c", "import truss_async"], capture_output=True, text=True, check=False
    )
    assert "No module named 'truss_async'" in elsewhere.stderr

    answer = predict(harness, {"page": (EXAMPLE / "pages" / "receipt-1.png").as_uri()})
    assert answer.status_code == 200, answer.text
    request_id = answer.headers["X-Baseten-Request-Id"]
    saved = outputs.get(request_id)
    assert saved.data == answer.json()
    texts = [line["text"] for line in saved.data["lines"]]
    assert {"CORNER BAKERY", "TOTAL", "18.85", "Thank you, come again!"} <= set(texts)
    with outputs.open_artifact(ArtifactReference.model_validate(saved.data["annotated"])) as page:
        assert page.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("model_input", "reason"),
    [
        ({}, "the model input must be"),
        ({"page": "file:///nowhere/page.png"}, "cannot read file:///nowhere/page.png"),
        ({"page": EXAMPLE.joinpath("config.yaml").as_uri()}, "is not an image"),
        ({"page": "gopher://page"}, "cannot read gopher://page"),
    ],
)
def test_the_example_tells_its_caller_what_is_wrong_with_the_input(
    harness: Harness, model_input: dict[str, str], reason: str
) -> None:
    answer = predict(harness, model_input)
    assert answer.status_code == 422
    assert reason in answer.text
