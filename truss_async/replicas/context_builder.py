"""Lets truss write the build context of a truss folder, in a process of its own.

Importing truss takes over a second and 100 MB, and it prints, warns and writes below $HOME: nothing that
the harness wants inside. Run as ``context_builder.py TRUSS_DIR CONTEXT_DIR ANSWER_FILE``; the answer is JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

_OF_THE_IMAGE = (
    "model_cache",
    "hf_cache",
    "weights",
    "trt_llm",
    "bis_llm",
    "docker_server",
    "training_checkpoints",
)
"""Keys for which truss asks the network, or puts another server in the place of the model's."""


_NOT_NEEDED = "truss.api"
"""What truss pushes and logs in with, and half of the time that it takes to import."""


class _LeftOut(ModuleType):
    """Stands for a module that nobody uses: it has whatever is imported from it."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def build(truss_dir: Path, context_dir: Path) -> dict[str, object]:
    sys.modules[_NOT_NEEDED] = _LeftOut(_NOT_NEEDED)
    import truss
    from truss.base.truss_config import TrussConfig

    parse = TrussConfig.from_dict
    left_out: dict[str, Any] = {}

    def without_the_image(_: type[TrussConfig], data: dict[str, Any]) -> TrussConfig:
        left_out.update({key: data[key] for key in _OF_THE_IMAGE if key in data})
        return parse({key: value for key, value in data.items() if key not in _OF_THE_IMAGE})

    TrussConfig.from_dict = classmethod(without_the_image)
    handle = truss.load(truss_dir)
    handle.build_docker_build_context(context_dir)
    # A second copy of everything, made for a hash that only docker build reads.
    shutil.rmtree(context_dir / "build_hash", ignore_errors=True)
    _restore(context_dir / "config.yaml", left_out)
    return _answer(handle.spec.config, truss_dir)


def _restore(file: Path, left_out: dict[str, Any]) -> None:
    """Give the model its config as it is: it may read there which weights it is to load."""
    import yaml

    written = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**written, **left_out}), encoding="utf-8")


def _answer(config: Any, truss_dir: Path) -> dict[str, object]:
    from_file = config.requirements_file and config.requirements_file_type.value != "pip"
    return {
        "requirements": list(config.requirements),
        "file_requirements": config.load_requirements_from_file(truss_dir) if from_file else [],
        "names_python": "python_version" in config.model_fields_set,
        "unknown_keys": list(config.model_extra or ()),
        "known_keys": list(type(config).model_fields),
    }


def main(truss_dir: str, context_dir: str, answer_file: str) -> None:
    answer: dict[str, object]
    try:
        answer = build(Path(truss_dir), Path(context_dir))
    except Exception as error:
        answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")
        raise
    Path(answer_file).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    # Its own folder is on the path of a script; its neighbours must not stand for modules of truss's.
    del sys.path[0]
    main(*sys.argv[1:])
