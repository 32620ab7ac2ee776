"""What a replica on this machine does not do for a truss that its image would: said once, in a line each, with a remedy."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

_REMARKS: Final = {
    "base_image": "is not used here; what it provides must be in the requirements or installed on this machine",
    "build_commands": "are not run here; run those that the model needs yourself",
    "system_packages": "are not installed here; install them yourself",
    "model_cache": "is not filled here; the model must find or download its weights itself",
    "weights": "are not mounted here; the model must find or download them itself, or use --stub",
    "external_data": "is not downloaded here; put the files into the truss's data folder",
    "trt_llm": "does not start an engine here, so a model that needs one does not load; use --stub",
    "docker_server": "is not started here; the Model class is served instead",
    "bis_llm": "does not start an engine here; the Model class is served instead",
    "training_checkpoints": "are not mounted here; the model must find them itself",
    "training": "has no effect here",
}
"""By key of config.yaml: what is not done, and what to do about it."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CALLED_OTHERWISE: Final = {
    "websocket": "open a websocket to it at the path …/websocket of the harness, such as /production/websocket",
    "grpc": "the harness does not forward calls to it",
}


def differences(
    config: Mapping[str, Any], *, methods: Container[str] = (), mistyped_keys: Mapping[str, str] = _NONE
) -> Iterator[str]:
    """``config`` is the truss's whole config.yaml, ``methods`` are those of the model's class, as far as its file tells.

    Of ``mistyped_keys`` truss takes no notice, here and on the platform; each has with it what it was meant to be.
    """
    for key, meant in mistyped_keys.items():
        yield f"truss ignores the unknown key {key} in config.yaml; did you mean {meant!r}?"
    transport = _mapping(_mapping(config.get("runtime")).get("transport"))
    kind = "websocket" if "websocket" in methods else transport.get("kind")
    if kind in _CALLED_OTHERWISE:
        yield f"the model uses {kind}, so async requests cannot reach it, here or on the platform; {_CALLED_OTHERWISE[kind]}"
    for key, remark in _REMARKS.items():
        if config.get(key):
            yield f"{key} {remark}{_named(config[key])}"
    if accelerator := _mapping(config.get("resources")).get("accelerator"):
        yield f"resources asks for {accelerator}: replicas get the devices of this machine; if the model needs more, use --stub"


def _named(value: object) -> str:
    """The things meant, where they are short names."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return f" ({', '.join(' '.join(part.split()) for part in value)})"
    return ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
