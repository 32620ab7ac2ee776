"""What truss leaves out when it ships a truss: by the patterns of the truss's own .truss_ignore, or else by truss's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

IGNORE_FILE: Final = ".truss_ignore"


def ignored(folder: Path, files: Iterable[Path]) -> tuple[Path, Sequence[str]]:
    """The file with the patterns in force, and those of the files, relative to the folder, that it keeps from being shipped."""
    source = folder / IGNORE_FILE
    if not source.exists():
        found = find_spec("truss")  # which is not loaded, for that takes a second
        if found is None or found.origin is None:
            return source, ()
        source = Path(found.origin).parent / "util" / IGNORE_FILE
    try:
        lines = [line.strip() for line in source.read_text(encoding="utf-8").splitlines()]
        import pathspec  # it comes with truss
    except (OSError, ImportError):
        return source, ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name of the style has changed
        patterns = pathspec.PathSpec.from_lines(
            "gitwildmatch", [line for line in lines if line and not line.startswith("#")]
        )
    return source, [
        each.as_posix()
        for each in files
        # What lies in a folder that is left out is so, whatever a later pattern takes back.
        if patterns.match_file(each) or any(patterns.match_file(f"{above}/") for above in each.parents[:-1])
    ]
