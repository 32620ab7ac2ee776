from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path

import pytest

from tests.full_disk import no_file_grows_beyond
from truss_async.errors import HarnessError
from truss_async.shipping import PackageReport, container_part_is_current
from truss_async.shipping import package_truss as package_truss_for
from truss_async.stores.schemes import LIBRARIES

PYDANTIC = next(line for line in requires("truss-async") or [] if line.startswith("pydantic"))
CONFIG = """\
model_name: Echo   # a name
python_version: py311
requirements: ["truss-async[s3]"]
model_metadata:
  async_output: {url: s3://bucket/outputs}
"""
MODEL = "from truss_async import AsyncOutputModel\nclass Model(AsyncOutputModel):\n    pass\n"

MakeTruss = Callable[..., Path]


@pytest.fixture
def make_truss(tmp_path: Path) -> MakeTruss:
    def make(*, config: str = CONFIG, model: str = MODEL, **files: str) -> Path:
        truss = tmp_path / "truss"
        (truss / "model").mkdir(parents=True)
        (truss / "config.yaml").write_text(config)
        (truss / "model" / "model.py").write_text(model)
        for name, text in files.items():
            (truss / name.replace("_", ".")).write_text(text)
        return truss

    return make


def package_truss(truss: Path, *, dry_run: bool = False) -> PackageReport:
    return package_truss_for(truss, store_libraries=LIBRARIES, dry_run=dry_run)


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def test_a_truss_gets_the_copy_and_asks_for_its_dependencies(make_truss: MakeTruss) -> None:
    truss = make_truss()
    report = package_truss(truss)
    assert container_part_is_current(truss / "packages")
    assert report.copied
    assert report.replaced == ("truss-async[s3]",)
    assert [line.partition(">")[0] for line in report.replacements] == ["pydantic", "smart-open", "boto3"]
    listed = ", ".join(f'"{line}"' for line in report.replacements)
    assert (truss / "config.yaml").read_text() == CONFIG.replace('"truss-async[s3]"', listed)
    assert report.lacks == ()


def test_a_full_disk_leaves_the_config_as_it_was_and_nothing_that_would_be_shipped(
    make_truss: MakeTruss,
) -> None:
    truss = make_truss(config=CONFIG + "#" * 500_000)
    before = contents(truss)
    with no_file_grows_beyond(400_000), pytest.raises(HarnessError, match=r"cannot write .*config.yaml"):
        package_truss(truss)
    assert {name: each for name, each in contents(truss).items() if "packages/" not in name} == before
    assert [*truss.glob(".*")] == []


def test_packaging_twice_changes_nothing(make_truss: MakeTruss) -> None:
    truss = make_truss()
    package_truss(truss)
    before = contents(truss)
    report = package_truss(truss)
    assert contents(truss) == before
    assert not report.copied
    assert report.replaced == ()
    assert report.lacks == ()


def test_a_dry_run_tells_the_same_and_touches_nothing(make_truss: MakeTruss) -> None:
    truss = make_truss()
    before = contents(truss)
    planned = package_truss(truss, dry_run=True)
    assert contents(truss) == before
    done = package_truss(truss)
    assert (planned.copied, planned.replaced, planned.replacements) == (
        done.copied,
        done.replaced,
        done.replacements,
    )


def test_the_folder_that_the_config_names_is_used(make_truss: MakeTruss) -> None:
    truss = make_truss(config=f"{CONFIG}bundled_packages_dir: vendored\n")
    assert package_truss(truss).copy == truss / "vendored" / "truss_async"
    assert container_part_is_current(truss / "vendored")


def test_a_requirements_file_is_edited_in_place_of_the_config(make_truss: MakeTruss) -> None:
    config = CONFIG.replace('requirements: ["truss-async[s3]"]', "requirements_file: requirements.txt")
    truss = make_truss(config=config, requirements_txt="numpy  # kept\ntruss_async[gcs]>=0.1\n")
    report = package_truss(truss)
    assert (truss / "config.yaml").read_text() == config
    lines = (truss / "requirements.txt").read_text().splitlines()
    assert lines[0] == "numpy  # kept"
    assert [line.partition(">")[0] for line in lines[1:]] == [
        "pydantic",
        "smart-open",
        "google-cloud-storage",
    ]
    assert report.requirements_file == truss / "requirements.txt"
    assert "the requirements lack boto3" in report.lacks[0]


def test_a_locked_dependency_file_is_left_alone_and_said_so(make_truss: MakeTruss) -> None:
    config = CONFIG.replace('requirements: ["truss-async[s3]"]', "requirements_file: pyproject.toml")
    truss = make_truss(config=config, pyproject_toml="[project]\n")
    report = package_truss(truss)
    assert (truss / "pyproject.toml").read_text() == "[project]\n"
    (line,) = report.lacks
    assert (
        f"{truss}/pyproject.toml was not changed; make sure that it requires {PYDANTIC}, smart-open>=6.4"
        in line
    )


@pytest.mark.parametrize(
    ("config", "model", "lacks"),
    [
        pytest.param(
            CONFIG.replace("url: s3://bucket/outputs", ""),
            MODEL,
            "model_metadata.async_output.url",
            id="no url",
        ),
        pytest.param(
            CONFIG.replace("[s3]", ""), MODEL, "lack boto3, which s3://bucket/outputs needs", id="s3"
        ),
        pytest.param(CONFIG.replace("s3:", "gs:"), MODEL, "lack google-cloud-storage", id="gs"),
        pytest.param(CONFIG.replace("s3:", "azure:"), MODEL, "lack azure-storage-blob", id="azure"),
        pytest.param(
            CONFIG.replace("python_version: py311\n", ""), MODEL, "no python_version", id="unsaid python"
        ),
        pytest.param(CONFIG.replace("py311", "py3"), MODEL, "no python_version", id="odd python"),
        pytest.param(CONFIG.replace("py311", "py39"), MODEL, "3.9 is too old", id="old python"),
        pytest.param(
            CONFIG.replace("truss-async[s3]", "boto3"), MODEL, f"lack {PYDANTIC}", id="no dependencies"
        ),
        pytest.param(CONFIG, "class Model: ...\n", "does not import truss_async", id="not our model"),
        pytest.param(CONFIG, "class Model(:\n", "not valid Python", id="broken model"),
        pytest.param(
            CONFIG,
            f"{MODEL}    def predict(self, x):\n        yield x\n",
            "predict in model.py is a generator",
            id="generator",
        ),
        pytest.param(
            CONFIG,
            f"{MODEL}    async def predict(self, x):\n        for y in x:\n            yield y\n",
            "predict in model.py is a generator",
            id="async generator",
        ),
        pytest.param(
            CONFIG,
            f"{MODEL}    def postprocess(self, x):\n        yield x\n",
            'postprocess in model.py is a generator; a streamed output cannot be saved: return the whole output, or set streaming to "pass"',
            id="generator after predict",
        ),
    ],
)
def test_what_a_truss_lacks_is_said_in_one_plain_line(
    make_truss: MakeTruss, config: str, model: str, lacks: str
) -> None:
    found = package_truss(make_truss(config=config, model=model)).lacks
    assert lacks in found[0]
    assert all("\n" not in line for line in found)


@pytest.mark.parametrize(
    ("config", "model"),
    [
        pytest.param(CONFIG.replace("[s3]", "[azure]").replace("s3:", "azure:"), MODEL, id="azure extra"),
        pytest.param(
            CONFIG.replace("url: s3://bucket/outputs", ""),
            "from truss_async import save_output\nclass Model:\n  @save_output(url='s3://b/o')\n  def predict(self): ...\n",
            id="url in the decorator",
        ),
        pytest.param(
            CONFIG.replace("outputs}", "outputs, streaming: pass}"),
            f"{MODEL}    def predict(self, x):\n        yield x\n",
            id="a stream that is let through, in the config",
        ),
        pytest.param(
            CONFIG,
            f"{MODEL}    output_streaming = 'pass'\n    def predict(self, x):\n        yield x\n",
            id="a stream that is let through, on the class",
        ),
        pytest.param(
            CONFIG,
            f"{MODEL}    def predict(self, x):\n        def chunks():\n            yield x\n        return list(chunks())\n",
            id="a generator within",
        ),
        pytest.param(
            CONFIG.replace("url: s3://bucket/outputs", ""),
            f"{MODEL}    output_url = where()\n",
            id="url on the class",
        ),
        pytest.param(
            CONFIG.replace("url: s3://bucket/outputs", "")
            + "environment_variables: {TRUSS_ASYNC_OUTPUT_URL: 's3://b/o'}\n",
            MODEL,
            id="url in the environment",
        ),
    ],
)
def test_a_truss_that_has_what_it_needs_lacks_nothing(make_truss: MakeTruss, config: str, model: str) -> None:
    assert package_truss(make_truss(config=config, model=model)).lacks == ()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("a: [1\n", "config.yaml is not valid YAML: "),
        ("- 1\n", "config.yaml must contain a mapping, not a list"),
        ("requirements: numpy\n", "requirements in .* must be a list"),
        (
            "requirements: ['truss-async==99']\n",
            "the truss requires truss-async==99, but truss-async .* is installed",
        ),
        ("requirements: ['truss-async[s4]']\n", "has no extra s4; it has azure, .*s3"),
        ("bundled_packages_dir: ../elsewhere\n", "must be a folder inside the truss, not '../elsewhere'"),
        ("bundled_packages_dir: /tmp\n", "must be a folder inside the truss, not '/tmp'"),
        (
            "x: &n [truss-async]\nrequirements: *n\n",
            f"by hand: {PYDANTIC}, smart-open>=6.4 instead of truss-async",
        ),
        ("requirements_file: nope.txt\n", "there is no .*/nope.txt"),
    ],
)
def test_a_truss_that_cannot_be_packaged_is_refused_in_one_line_and_left_as_it_was(
    make_truss: MakeTruss, config: str, message: str
) -> None:
    truss = make_truss(config=config)
    before = contents(truss)
    with pytest.raises(HarnessError, match=message) as error:
        package_truss(truss)
    assert "\n" not in str(error.value)
    assert contents(truss) == before


def test_a_packages_folder_that_is_a_link_is_refused_because_truss_would_ship_nothing(
    make_truss: MakeTruss, tmp_path: Path
) -> None:
    truss = make_truss()
    (truss / "packages").symlink_to(tmp_path)
    with pytest.raises(HarnessError, match="is a symbolic link, which truss does not ship"):
        package_truss(truss)


def test_a_folder_that_is_no_truss_is_named(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=f"{tmp_path}/nowhere does not exist; give the folder"):
        package_truss(tmp_path / "nowhere")
    with pytest.raises(HarnessError, match=f"{tmp_path}/config.yaml does not exist; give the folder"):
        package_truss(tmp_path)


def test_the_report_tells_what_was_done_and_what_is_left(make_truss: MakeTruss) -> None:
    truss = make_truss(config=CONFIG.replace("python_version: py311\n", ""))
    planned = package_truss(truss, dry_run=True).lines()
    assert [line for line in planned if "would be" in line] == planned[:2]
    first, second, *rest = package_truss(truss).lines()
    assert first.startswith(f"{truss}/packages/truss_async: copied from truss_async ")
    assert second.startswith(f"{truss}/config.yaml: truss-async[s3] replaced by ")
    assert [line.partition(":")[0] for line in rest] == ["still to do"]
    with (truss / "config.yaml").open("a") as config:
        config.write("python_version: py312\n")
    assert package_truss(truss).lines()[-1] == f"ready: truss push {truss}"


def test_a_truss_without_a_model_is_refused(make_truss: MakeTruss) -> None:
    truss = make_truss()
    (truss / "model" / "model.py").unlink()
    with pytest.raises(HarnessError, match=r"there is no .*model/model.py: only what a Model class"):
        package_truss(truss)
    assert not (truss / "packages").exists()


@pytest.mark.parametrize(
    ("patterns", "is_left_out"),
    [
        ("packages/", True),
        ("packages", True),
        ("*.py", True),
        ("# packages/\n/data/\n", False),
        ("stores/", True),
        ("packages/\n!packages/truss_async/**\n", True),
        ("packages/*\n!packages/truss_async/\n", False),
        ("", False),
        ("model", True),
    ],
)
def test_what_truss_would_leave_out_is_said(make_truss: MakeTruss, patterns: str, is_left_out: bool) -> None:
    truss = make_truss()
    (truss / ".truss_ignore").write_text(patterns)
    report = package_truss(truss)
    assert bool([line for line in report.lacks if f"{truss}/.truss_ignore excludes" in line]) == is_left_out
    assert any(line.startswith("ready") for line in report.lines()) != is_left_out


def test_what_truss_leaves_out_by_itself_is_said(make_truss: MakeTruss) -> None:
    truss = make_truss(config=f"{CONFIG}bundled_packages_dir: build\n")
    assert any("truss/util/.truss_ignore excludes" in line for line in package_truss(truss).lacks)


def test_a_check_is_done_once_nothing_is_left_to_do(make_truss: MakeTruss) -> None:
    truss = make_truss()
    assert not package_truss(truss, dry_run=True).is_done
    assert package_truss(truss).is_done
    assert package_truss(truss, dry_run=True).is_done
    (truss / "model" / "model.py").write_text("class Model: ...\n")
    assert not package_truss(truss, dry_run=True).is_done
