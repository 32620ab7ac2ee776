from __future__ import annotations

from typing import Any

import pytest

from truss_async.replicas.differences import differences


def test_truss_that_asks_for_nothing_of_the_image_differs_in_nothing() -> None:
    plain: dict[str, object] = {
        "runtime": {"transport": {"kind": "http"}},
        "weights": [],
        "base_image": None,
        "resources": {"cpu": "1"},
    }
    assert list(differences(plain)) == []


def test_model_that_speaks_another_protocol_is_told_that_async_requests_cannot_reach_it() -> None:
    for kind in ("websocket", "grpc"):
        (line,) = differences({"runtime": {"transport": {"kind": kind}}})
        assert line.startswith(
            f"the model uses {kind}, so async requests cannot reach it, here or on the platform; "
        )
    (line,) = differences({}, methods={"load", "websocket"})
    assert line.endswith(
        "open a websocket to it at the path …/websocket of the harness, such as /production/websocket"
    )


@pytest.mark.parametrize(
    ("config", "remark"),
    [
        ({"base_image": {"image": "ubuntu"}}, "base_image is not used here; what it provides"),
        ({"build_commands": ["apt-get  update"]}, "the model needs yourself (apt-get update)"),
        ({"system_packages": ["ffmpeg", "libsm6"]}, "install them yourself (ffmpeg, libsm6)"),
        ({"model_cache": [{"repo_id": "x/y"}]}, "model_cache is not filled here; the model must find or download"),
        ({"weights": [{"source": "hf://x/y"}]}, "weights are not mounted here"),
        ({"external_data": [{"url": "x"}]}, "external_data is not downloaded here; put the files into the truss's data"),
        ({"trt_llm": {"build": {}}}, "trt_llm does not start an engine here"),
        ({"docker_server": {"start_command": "x"}}, "docker_server is not started here"),
        ({"training_checkpoints": {"checkpoints": []}}, "training_checkpoints are not mounted here"),
        ({"training": {"image": "x"}}, "training has no effect here"),
        ({"resources": {"accelerator": "A10G:2"}}, "resources asks for A10G:2: replicas get the devices"),
    ],
)  # fmt: skip
def test_what_only_the_image_does_is_one_remark_with_what_to_do(config: dict[str, Any], remark: str) -> None:
    (line,) = differences(config)
    assert remark in line
    assert "\n" not in line


def test_a_key_that_truss_passes_over_is_told_with_what_was_meant() -> None:
    (line,) = differences({}, mistyped_keys={"requirments": "requirements"})
    assert line == "truss ignores the unknown key requirments in config.yaml; did you mean 'requirements'?"
