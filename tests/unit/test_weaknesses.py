"""The bounds in pyproject.toml leave out what is known to be weak."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]
WEAK = [
    Requirement(line.partition(" ")[0])
    for line in (ROOT / ".ci" / "weaknesses.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("declared", DECLARED, ids=str)
def test_the_oldest_that_is_allowed_has_no_known_weakness(declared: Requirement) -> None:
    oldest = [each.version for each in declared.specifier if each.operator in (">=", "==", "~=")]
    for weak in WEAK:
        if canonicalize_name(weak.name) == canonicalize_name(declared.name):
            assert not any(weak.specifier.contains(version) for version in oldest), (
                f"{declared}: {weak} is weak"
            )
