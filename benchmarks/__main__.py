"""``python -m benchmarks [NAME …]``: measure, print a table, and write it as JSON to benchmarks/results/."""

import sys
from importlib import import_module

from .report import publish

BENCHMARKS = ("harness", "nodes", "stops", "page", "plugin", "stores", "batch", "tables")


def main(names: list[str]) -> None:
    """Run the benchmarks of these names; without any, all."""
    for name in names:
        if name not in BENCHMARKS:
            raise SystemExit(f"no benchmark {name}; there are: {', '.join(BENCHMARKS)}")
    for name in names or BENCHMARKS:
        publish(name, import_module(f"{__package__}.{name}").measure())


if __name__ == "__main__":
    main(sys.argv[1:])
