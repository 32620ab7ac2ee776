"""The named queries of a queries.sql."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files


@cache
def queries(package: str = __package__ or "") -> dict[str, str]:
    """Every query of that package by its name."""
    text = files(package).joinpath("queries.sql").read_text("utf-8")
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: _without_comments(body) for name, body in zip(parts[::2], parts[1::2], strict=True)}


def _without_comments(sql: str) -> str:
    return "\n".join(line for line in sql.splitlines() if not line.startswith("--")).strip()
