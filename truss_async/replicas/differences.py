"""What a replica on this machine does not do for a truss that its image would: said once, in a line each, with a remedy."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

_REMARKS: Final = {
    "base_image": "is not used here: what it brings besides Python has to be among the requirements, or on this machine",
    "build_commands": "are not run here: run by yourself those whose effect the model needs",
    "system_packages": "are not installed here: see to them yourself",
    "model_cache": "is not filled here: the model must find or download its weights by itself",
    "weights": "are not mounted here: the model must find or download them by itself, or --stub answers in its place",
    "external_data": "is not fetched here: put the files into the truss's data folder",
    "trt_llm": "starts no engine here, so a model that takes one does not load; --stub answers in its place",
    "docker_server": "is not started here, where the Model class is served in its place",
    "bis_llm": "starts no engine here, where the Model class is served in its place",
    "training_checkpoints": "are not mounted here: the model must find them by itself",
    "training": "does nothing here, where a model is only served",
}
"""By key of config.yaml: what is not done, and what to do about it."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_CALLED_OTHERWISE: Final = {
    "websocket": "open a websocket to it at the path …/websocket of the harness, such as /production/websocket",
    "grpc": "and no call of the harness is passed on to it",
}


def differences(
    config: Mapping[str, Any], *, methods: Container[str] = (), mistyped_keys: Mapping[str, str] = _NONE
) -> Iterator[str]:
    """``config`` is the truss's whole config.yaml, ``methods`` are those of the model's class, as far as its file tells.

    Of ``mistyped_keys`` truss takes no notice, here and on the platform; each has with it what it was meant to be.
    """
    for key, meant in mistyped_keys.items():
        yield f"truss knows no key {key} in config.yaml, and passes over it; did you mean {meant!r}?"
    transport = _mapping(_mapping(config.get("runtime")).get("transport"))
    kind = "websocket" if "websocket" in methods else transport.get("kind")
    if kind in _CALLED_OTHERWISE:
        yield f"the model speaks {kind}, which async requests do not: they cannot reach it, on the platform neither; {_CALLED_OTHERWISE[kind]}"
    for key, remark in _REMARKS.items():
        if config.get(key):
            yield f"{key} {remark}{_named(config[key])}"
    if accelerator := _mapping(config.get("resources")).get("accelerator"):
        yield f"resources asks for {accelerator}: replicas get the devices that this machine has; where the model needs more, --stub answers in its place"


def _named(value: object) -> str:
    """The things meant, where they are short names."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return f" ({', '.join(' '.join(part.split()) for part in value)})"
    return ""


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
