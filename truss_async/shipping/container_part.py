"""The part of this package that runs in a model container, and how a copy of it is made."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..errors import HarnessError

PACKAGE: Final = "truss_async"
# Files and folders, as the import contract "the container loads pydantic and smart-open alone" has them.
CONTAINER_PART: Final = (
    "__init__.py",
    "py.typed",
    "errors.py",
    "clock.py",
    "forks.py",
    "lazy_names.py",
    "nearest.py",
    "printable.py",
    "whole_files.py",
    "own_folders.py",
    "pasted.py",
    "workers.py",
    "contract",
    "stores",
    "webhooks",
    "model",
)
_SOURCE: Final = Path(__file__).parents[1]
_SCRATCH_PREFIX: Final = f".{PACKAGE}-"


def copy_container_part(destination: Path) -> list[Path]:
    """Put what a model container needs of this package into ``destination/truss_async``; return the files.

    A copy that is already right is left untouched; any other is replaced as a whole, so that no file of an older
    version stays behind. Whoever looks sees a whole copy, the old or the new one.
    """
    target = destination / PACKAGE
    try:
        destination.mkdir(parents=True, exist_ok=True)
        with _alone_in(destination):
            _remove_scratch(destination)
            if not container_part_is_current(destination):
                _replace(target)
    except OSError as error:
        raise HarnessError(
            f"cannot copy {PACKAGE} to {destination}: {error.strerror}; the folder must be writable"
        ) from error
    return [target / name for name in container_files()]


def container_part_is_current(destination: Path) -> bool:
    """Whether ``destination/truss_async`` is exactly what ``copy_container_part`` would put there."""
    target = destination / PACKAGE
    if target.is_symlink() or not target.is_dir():  # truss ships nothing for a link
        return False
    present = {path.relative_to(target) for path in target.rglob("*") if not path.is_dir()}
    expected = container_files()
    return {name for name in present if "__pycache__" not in name.parts} == set(expected) and all(
        (target / name).read_bytes() == (_SOURCE / name).read_bytes() for name in expected
    )


def container_files() -> list[Path]:
    """The files of the container part, relative to the package, in a fixed order."""
    files: list[Path] = []
    for name in CONTAINER_PART:
        part = _SOURCE / name
        files += [part] if part.is_file() else part.rglob("*.py")
    return sorted(path.relative_to(_SOURCE) for path in files)


def _replace(target: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=target.parent))
    fresh, old = scratch / "new", scratch / "old"
    for name in container_files():
        (fresh / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_SOURCE / name, fresh / name)
    if target.exists() or target.is_symlink():
        target.rename(old)
    fresh.rename(target)
    _remove_scratch(target.parent)


def _remove_scratch(destination: Path) -> None:
    """Remove what this run, or one that was killed, left beside the copy: it would be shipped too."""
    for scratch in destination.glob(f"{_SCRATCH_PREFIX}*"):
        shutil.rmtree(scratch)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait for others that copy into the same folder; the lock ends with the process."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
