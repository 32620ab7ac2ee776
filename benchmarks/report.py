"""How figures are shown and kept."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Figure:
    """One measured figure. Without ``must`` it is there to be compared with; ``at_most``: less is better."""

    name: str
    value: float
    unit: str = ""
    must: float | None = None
    aim: float | None = None
    at_most: bool = False

    @property
    def is_reached(self) -> bool | None:
        """Whether it is as good as it must be; None where nothing is asked."""
        if self.must is None:
            return None
        return self.value <= self.must if self.at_most else self.value >= self.must


def publish(benchmark: str, figures: Sequence[Figure]) -> None:
    """Print a table, and write the figures as JSON to benchmarks/results/."""
    table = Table("figure", "measured", "must reach", "aim", "", title=benchmark, title_justify="left")
    for figure in figures:
        verdict = {None: "", True: "yes", False: "[bold]no[/bold]"}[figure.is_reached]
        table.add_row(
            figure.name,
            _shown(figure.value, figure.unit),
            _shown(figure.must, figure.unit),
            _shown(figure.aim, figure.unit),
            verdict,
        )
    Console().print(table)
    now = datetime.now(timezone.utc)
    record = {
        "benchmark": benchmark,
        "time": now.isoformat(),
        "python": platform.python_version(),
        "truss_async": version("truss-async"),
        "figures": [{**asdict(figure), "is_reached": figure.is_reached} for figure in figures],
    }
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{benchmark}-{now:%Y%m%dT%H%M%SZ}.json"
    file.write_text(json.dumps(record, indent=2))
    print(f"written to {file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}")


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {unit}".rstrip()
