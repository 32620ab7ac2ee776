"""What is told of a chainlet before it is pushed: read from the truss that truss has made of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from truss_async.errors import HarnessError
from truss_async.replicas.chains import Chain, Chainlet, ChainSource
from truss_async.replicas.chains.packaging import plan_edits
from truss_async.replicas.chains.shipped import ShippedChainlet, shipped_chainlets

LIBRARIES = {"s3": ("boto3", "s3")}
CODE = """
import {imports}
class Half(ChainletBase):
    @{decorator}
    def run_remote(self): ...
class Other(ChainletBase):
    def run_remote(self): ...
"""
SHIPPED = ShippedChainlet(
    "Half",
    "3.11",
    ("truss==1", "truss-async[s3]"),
    imports_plugin=True,
    saves=True,
    gives_url=True,
    urls=("s3://b",),
)


def shipped(
    folder: Path, decorator: str, *, imports: str = "truss_async", **config: object
) -> ShippedChainlet:
    for name, text in {
        "model/model.py": "import chain_file\n",
        "packages/chain_file.py": "from package import inner\n",
        "packages/package/inner.py": CODE.format(decorator=decorator, imports=imports),
        "packages/unused.py": "import truss_async\n",
        "pip_requirements.txt": "truss==1\nsmart-open\n",
        "config.yaml": yaml.safe_dump(
            {"python_version": "py311", "requirements_file": "pip_requirements.txt", **config}
        ),
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (made,) = shipped_chainlets(
        Chain("C", ChainSource(Path("c.py")), Chainlet("Half", "Half", folder, ()), ())
    )
    return made


def test_what_saves_and_where_to_is_read_from_code_and_config(tmp_path: Path) -> None:
    plain = shipped(tmp_path / "1", "save_output")
    assert (plain.saves, plain.imports_plugin, plain.gives_url, plain.python_version) == (
        True,
        True,
        False,
        "3.11",
    )
    assert plain.requirements == ("truss==1", "smart-open")
    assert shipped(tmp_path / "2", "truss_async.save_output(url='s3://b')").urls == ("s3://b",)
    by_variable = shipped(
        tmp_path / "3", "save_output", environment_variables={"TRUSS_ASYNC_OUTPUT_URL": "s3://v"}
    )
    assert by_variable.urls == ("s3://v",)
    by_metadata = shipped(tmp_path / "4", "save_output", model_metadata={"async_output": {"url": "s3://m"}})
    assert by_metadata.urls == ("s3://m",)
    computed = shipped(tmp_path / "5", "save_output(url=URL)")
    assert (computed.gives_url, computed.urls) == (True, ())


def test_a_chainlet_that_does_not_import_the_plugin_needs_nothing(tmp_path: Path) -> None:
    other = shipped(tmp_path, "property", imports="os")
    assert (other.saves, other.imports_plugin) == (False, False)
    assert list(other.shortcomings({}, LIBRARIES)) == []


def test_what_is_left_to_do_is_told() -> None:
    given = {"truss-async[s3]": ["pydantic>=2", "smart-open", "boto3"]}
    assert list(SHIPPED.shortcomings(given, LIBRARIES)) == []
    told = "\n".join(replace(SHIPPED, requirements=(), gives_url=False).shortcomings({}, LIBRARIES))
    assert "the pip_requirements of Half lack smart-open" in told
    assert "Half is not told where to save: give @save_output a url, or TRUSS_ASYNC_OUTPUT_URL" in told
    assert "the pip_requirements of Half lack boto3, which s3://b needs: ask for truss-async[s3]" in told


def test_requirements_are_changed_where_they_stand(tmp_path: Path) -> None:
    for name, text in {
        "chain.py": "IMAGE = Image(file='requirements.txt', pip=['truss-async'])\n",
        "requirements.txt": "numpy\ntruss-async[s3]  # saves\n",
        "other.txt": "truss-async[s3]\n",
        "truss_async/copy.py": "A = ['truss-async']\n",
        "broken.py": "(['truss-async']\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    source = ChainSource(tmp_path / "chain.py")
    edits = plan_edits(source, {"truss-async": ["a"], "truss-async[s3]": ["b", "c"]})
    assert edits == {
        tmp_path / "chain.py": "IMAGE = Image(file='requirements.txt', pip=[\"a\"])\n",
        tmp_path / "requirements.txt": "numpy\nb # saves\nc\n",
    }
    with pytest.raises(
        HarnessError, match=r"requires truss-async\[gcs\]: edit it by hand: x instead of truss-async\[gcs\]"
    ):
        plan_edits(source, {"truss-async[gcs]": ["x"]})
    assert plan_edits(source, {}) == {}
