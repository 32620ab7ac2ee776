from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from truss_async.errors import HarnessError
from truss_async.replicas.truss_folder import configured_output_url, read_truss_folder

if TYPE_CHECKING:
    from pathlib import Path


def write_truss(folder: Path, config: str) -> Path:
    (folder / "model").mkdir()
    (folder / "model" / "model.py").write_text("class Model: ...")
    (folder / "config.yaml").write_text(config)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(HarnessError) as caught:
        read_truss_folder(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("config", "expected"), [("", 1), ("runtime: {predict_concurrency: 7}", 7), ("runtime:", 1)]
)
def test_concurrency_is_that_of_the_config_and_else_one(tmp_path: Path, config: str, expected: int) -> None:
    assert read_truss_folder(write_truss(tmp_path, config)).predict_concurrency == expected


@pytest.mark.parametrize("value", ["0", "-1", "many", "true", "1.5"])
def test_concurrency_that_is_no_positive_number_is_refused(tmp_path: Path, value: str) -> None:
    assert "predict_concurrency" in refusal(
        write_truss(tmp_path, f"runtime: {{predict_concurrency: {value}}}")
    )


@pytest.mark.parametrize(
    "config",
    [
        "base_image: {image: ubuntu}",
        "build_commands: [make]",
        "model_cache: [{repo_id: x}]",
        "weights: [{source: x}]",
        "docker_server: {start_command: x}",
        "trt_llm: {build: {}}",
    ],
)
def test_truss_with_a_model_is_not_refused_for_what_only_its_image_does(tmp_path: Path, config: str) -> None:
    assert read_truss_folder(write_truss(tmp_path, config)).path == tmp_path


@pytest.mark.parametrize(
    ("config", "way_out"),
    [
        (
            "docker_server: {server_port: 8123, predict_endpoint: /v1/chat}",
            "start it, then serve it with --model-url http://127.0.0.1:8123/v1/chat",
        ),
        ("docker_server: true", "--model-url http://127.0.0.1:8000/predict"),
        ("trt_llm: {build: {}}", "trt_llm is the TensorRT-LLM engine"),
        ("bis_llm: {config: {}}", "bis_llm is the platform's own LLM server"),
    ],
)
def test_truss_without_a_model_is_refused_with_the_way_out(tmp_path: Path, config: str, way_out: str) -> None:
    (tmp_path / "config.yaml").write_text(config)
    message = refusal(tmp_path)
    assert message.startswith(f"{tmp_path} has no model.py: ")
    assert way_out in message
    assert "--model-url" in message


def test_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path) == f"no config.yaml in {tmp_path}: give the folder of a truss"


@pytest.mark.parametrize("config", ["a: [", "- just\n- a list", "\x00"])
def test_config_that_cannot_be_read_is_refused(tmp_path: Path, config: str) -> None:
    assert "config.yaml" in refusal(write_truss(tmp_path, config))


def test_truss_without_a_model_file_is_refused_by_its_name(tmp_path: Path) -> None:
    assert str(tmp_path / "model" / "other.py") in refusal(
        write_truss(tmp_path, "model_class_filename: other.py")
    )


def test_model_folder_that_the_server_would_not_find_is_refused(tmp_path: Path) -> None:
    assert "model_module_dir" in refusal(write_truss(tmp_path, "model_module_dir: src"))


@pytest.mark.parametrize(
    ("section", "model", "expected"),
    [
        ("{url: 's3://b'}", "import truss_async", "s3://b"),
        ("{url: 's3://b', local: true}", "import truss_async", "file:///here"),
        ("{}", "import truss_async", "file:///here"),
        ("{}", "class Model: ...", None),
    ],
)
def test_outputs_are_where_the_config_has_them_or_else_here(
    tmp_path: Path, section: str, model: str, expected: str | None
) -> None:
    folder = write_truss(tmp_path, f"model_metadata: {{async_output: {section}}}")
    (folder / "model" / "model.py").write_text(model)
    assert configured_output_url(folder, local_url="file:///here") == expected
