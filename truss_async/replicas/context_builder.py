"""Lets truss write the build context of a truss folder, in a process of its own.

Importing truss takes over a second and 100 MB, and it prints, warns and writes below $HOME: nothing that
the harness wants inside. Run as ``context_builder.py TRUSS_DIR CONTEXT_DIR ANSWER_FILE``; the answer is JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path


def build(truss_dir: Path, context_dir: Path) -> dict[str, object]:
    import truss

    handle = truss.load(truss_dir)
    config = handle.spec.config
    handle.build_docker_build_context(context_dir)
    # A second copy of everything, made for a hash that only docker build reads.
    shutil.rmtree(context_dir / "build_hash", ignore_errors=True)
    from_file = config.requirements_file and config.requirements_file_type.value != "pip"
    return {
        "requirements": list(config.requirements),
        "file_requirements": config.load_requirements_from_file(truss_dir) if from_file else [],
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
