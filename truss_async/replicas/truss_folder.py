"""What can be said about a truss folder by reading its config.yaml, before truss itself is asked."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from ..errors import HarnessError
from ..python_code import parsed
from ..text_files import read_text

CONFIG_FILE: Final = "config.yaml"
_NO_MODEL: Final = {
    "trt_llm": "is the TensorRT-LLM engine, which needs its image and a GPU",
    "bis_llm": "is the platform's own LLM server, which needs its image and a GPU",
}
"""Keys that make a server without a model.py, and why it does not run here."""


Method = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class TrussFolder:
    """A truss with a Model class, as far as its folder tells."""

    path: Path
    predict_concurrency: int


def read_truss_folder(path: Path) -> TrussFolder:
    """Read the config; raise HarnessError, in one line, when this truss cannot be served."""
    config = read_config(path)
    module_dir, filename = (
        config.get("model_module_dir", "model"),
        config.get("model_class_filename", "model.py"),
    )
    if module_dir != "model":
        raise HarnessError(f"{path}: the Truss server only finds model_module_dir: model, not {module_dir}")
    if not (model_file := path / "model" / str(filename)).is_file():
        raise HarnessError(
            _why_no_model(path, config) or f"no model at {model_file}; put the Model class there"
        )
    return TrussFolder(path.resolve(), predict_concurrency(path, config))


def configured_output_url(path: Path, *, local_url: str | None = None) -> str | None:
    """Where the plugin saves outputs, as far as the config tells: ``model_metadata.async_output.url``.

    ``local_url`` is the store of a model with the plugin whose config names none, or asks for a local one.
    """
    config = read_config(path)
    metadata = config.get("model_metadata")
    section = metadata.get("async_output") if isinstance(metadata, dict) else None
    section = section if isinstance(section, dict) else {}
    url = section.get("url")
    if local_url is not None and (
        section.get("local") is True or (url is None and _has_plugin(path, config))
    ):
        return local_url
    return url if isinstance(url, str) else None


def _has_plugin(path: Path, config: Mapping[str, Any]) -> bool:
    file = path / "model" / str(config.get("model_class_filename", "model.py"))
    try:
        return b"truss_async" in file.read_bytes()
    except OSError:
        return False


def _why_no_model(path: Path, config: Mapping[str, Any]) -> str | None:
    if server := config.get("docker_server"):
        server = server if isinstance(server, Mapping) else {}
        port, endpoint = server.get("server_port", 8000), server.get("predict_endpoint", "/predict")
        return f"{path} has no model.py: docker_server runs in Docker; start it, then serve it with --model-url http://127.0.0.1:{port}{endpoint}, or use --stub"
    for key, meaning in _NO_MODEL.items():
        if config.get(key):
            return (
                f"{path} has no model.py: {key} {meaning}; serve a running one with --model-url, "
                "or use --stub"
            )
    return None


def methods_of_model(app_dir: Path, config: Mapping[str, Any]) -> set[str]:
    """What the class of the model defines itself, as far as its file tells."""
    return {each.name for each in _methods(app_dir, config)}


def method_of_model(truss_dir: Path, config: Mapping[str, Any], name: str) -> Method | None:
    """That method of the model's class, if its file has it."""
    return next((each for each in _methods(truss_dir, config) if each.name == name), None)


def _methods(app_dir: Path, config: Mapping[str, Any]) -> list[Method]:
    file = app_dir / "model" / str(config.get("model_class_filename", "model.py"))
    try:
        module = parsed(file.read_bytes())
    except (OSError, SyntaxError):
        return []  # the server says what is wrong with it
    name = config.get("model_class_name", "Model")
    made = [node for node in ast.walk(module) if isinstance(node, ast.ClassDef) and node.name == name]
    return [part for each in made for part in each.body if isinstance(part, Method)]


def read_config(path: Path) -> dict[str, Any]:
    """The keys and values of the config; HarnessError when there is none."""
    file = path / CONFIG_FILE
    try:
        config = yaml.safe_load(read_text(file))
    except FileNotFoundError:
        raise HarnessError(f"no {CONFIG_FILE} in {path}: give the folder of a truss") from None
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"cannot read {file}: {error}") from error
    except yaml.YAMLError as error:
        raise HarnessError(
            f"{file} is not valid YAML: {' '.join(str(error).split())}; fix it (truss-async doctor {path} checks it again)"
        ) from error
    if not isinstance(config or {}, dict):
        raise HarnessError(f"{file} must contain a mapping, not {type(config).__name__}")
    return config or {}


def predict_concurrency(path: Path, config: dict[str, Any]) -> int:
    """How many inputs the model takes at once; HarnessError when that is no number."""
    runtime = config.get("runtime") or {}
    value = runtime.get("predict_concurrency", 1) if isinstance(runtime, dict) else runtime
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise HarnessError(
            f"{path / CONFIG_FILE}: runtime.predict_concurrency must be a number from 1, not {value!r}"
        )
    return value
