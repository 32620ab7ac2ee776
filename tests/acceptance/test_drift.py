"""``make drift``: what moves at the platform is told in words."""

import importlib.machinery
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CI = Path(__file__).parents[2] / ".ci"


@pytest.fixture(scope="module")
def drift() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("drift", str(CI / "drift"))
    spec = importlib.util.spec_from_loader("drift", loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((CI / "platform.json").read_text())
    return facts


def facts_of(folder: Path | None = None) -> dict[str, Any]:
    """What is said of the platform by what is installed, or by a ``baseten`` in that folder."""
    environment = {**os.environ, **({} if folder is None else {"PYTHONPATH": str(folder)})}
    done = subprocess.run(
        [sys.executable, CI / "platform_facts.py", "inference"],
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_an_enum_value_a_limit_and_a_field_that_are_new_are_told(drift: ModuleType, tmp_path: Path) -> None:
    installed = importlib.util.find_spec("baseten.client")
    assert installed is not None
    assert installed.origin is not None
    shutil.copytree(Path(installed.origin).parents[1], tmp_path / "baseten")
    models = tmp_path / "baseten" / "client" / "inferenceapi" / "_models.py"
    text = models.read_text()
    for old, new in (
        ('"EXPIRED",', '"EXPIRED", "PAUSED",'),
        ("ge=1, le=10", "ge=1, le=20"),
        ("class AsyncPredictOutput(BaseModel):", "class AsyncPredictOutput(BaseModel):\n    place: int = 0"),
    ):
        assert text.count(old) == 1
        text = text.replace(old, new)
    models.write_text(text)
    moved = list(drift.differences(facts_of(), facts_of(tmp_path)))
    assert "new: baseten: model AsyncRequestStatusResponse.status: anyOf: value PAUSED" in moved
    assert "changed: baseten: model InferenceRetryConfig.max_attempts: maximum is 20, and was 10" in moved
    assert "new: baseten: model AsyncPredictOutput.place" in moved
    others = ("PAUSED", "max_attempts: maximum", "AsyncPredictOutput.place")
    assert [line for line in moved if not any(part in line for part in others)] == []


def test_what_is_gone_is_told_too(drift: ModuleType) -> None:
    told = list(drift.differences({"a": True, "b": 1, "c": 2}, {"b": 1, "c": 3}))
    assert told == ["gone: a", "changed: c is 3, and was 2"]


@pytest.mark.parametrize(
    "fact",
    [
        "baseten: model AsyncRequestStatusResponse.status: anyOf: value WEBHOOK_FAILED",
        "baseten: model AsyncRequestError.code: anyOf: value MODEL_NOT_READY",
        "baseten: model ErrorResponse.error_code: anyOf: value rate_limited",
        "baseten: model InferenceRetryConfig.max_attempts: maximum",
        "baseten: operation async_predict_regional",
        "truss: command push",
        "truss server: errors.py: _BASETEN_CLIENT_ERROR_CODE",
        "truss server: truss_server.py has /v1/models/{model_name}:predict",
    ],
)
def test_the_list_holds_what_the_harness_goes_by(known: dict[str, Any], fact: str) -> None:
    assert fact in known
