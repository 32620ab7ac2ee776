"""``python -m benchmarks [NAME …]``: measure, print a table, and write it as JSON to benchmarks/results/.

``python -m benchmarks versions CHECKOUT`` compares with another version.
"""

import sys
from importlib import import_module
from pathlib import Path

from . import versions
from .report import publish

BENCHMARKS = ("harness", "at_rest", "nodes", "stops", "page", "plugin", "stores", "batch", "tables")


def main(names: list[str]) -> None:
    """Run the benchmarks of these names; without any, all but the comparison of versions, which needs another checkout."""
    if names[:1] == ["versions"]:
        if len(names) != 2:
            raise SystemExit("usage: python -m benchmarks versions CHECKOUT")
        publish("versions", versions.measure(Path(names[1])))
        return
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"no benchmark {name}; there are: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        publish(name, import_module(f"{__package__}.{name}").measure())


if __name__ == "__main__":
    main(sys.argv[1:])
