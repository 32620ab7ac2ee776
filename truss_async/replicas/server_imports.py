"""Which modules the Truss server cannot start without: read from its own code, so that no list has to be kept."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from ..python_code import parsed


def server_imports(app_dir: Path) -> list[str]:
    """The top-level modules, of nobody's standard library, that the server in this folder imports as it starts."""
    files = [
        *app_dir.glob("*.py"),
        *(app_dir / "_truss_common").rglob("*.py"),
        *(app_dir / "_truss_shared").rglob("*.py"),
    ]
    own = {path.stem for path in app_dir.iterdir()}
    names = {name for file in files for name in _imports(file)}
    return sorted(names - own - sys.stdlib_module_names)


def _imports(file: Path) -> Iterator[str]:
    # Only those that always run: what stands in a try or an if is not needed by all.
    for node in parsed(file.read_bytes()).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
