"""The environments that are kept for trusses: which there are, and the removal of those that nobody uses."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

import psutil

from .venv_cache import LOCK_SUFFIX, is_complete

_VERSION: Final = re.compile(r"^version(?:_info)?\s*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class KeptEnvironment:
    """One environment. ``users`` are the processes that run in it; one that is not ``whole`` was never finished."""

    path: Path
    python: str
    requirements: tuple[str, ...]
    size_bytes: int
    used_at: datetime
    whole: bool
    users: tuple[int, ...]


def kept_environments(folder: Path) -> list[KeptEnvironment]:
    """Those in the folder, the latest used first; a folder that is not there holds none."""
    users = _users(folder)
    found = [_read(path, users) for path in folder.glob("*") if path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda each: each.used_at, reverse=True)


def remove(environment: KeptEnvironment) -> bool:
    """Remove it, unless a process runs in it or it is being made; return whether it is gone."""
    path = environment.path
    # The lock stays: whoever waits for it must find the one that others take.
    with path.with_name(f"{path.name}{LOCK_SUFFIX}").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _users(path.parent).get(path.name):
            return False
        shutil.rmtree(path)
    return True


def _read(path: Path, users: dict[str, list[int]]) -> KeptEnvironment:
    lock = path.with_name(f"{path.name}{LOCK_SUFFIX}")
    config = _text(path / "pyvenv.cfg")
    lines = [line for file in sorted(path.glob("requirements-*.txt")) for line in _text(file).splitlines()]
    version = _VERSION.search(config)
    return KeptEnvironment(
        path=path,
        python=version[1] if version else "",
        requirements=tuple(line for line in lines if line),
        size_bytes=sum(_sizes(path)),
        used_at=datetime.fromtimestamp((lock if lock.exists() else path).stat().st_mtime, timezone.utc),
        whole=is_complete(path),
        users=tuple(users.get(path.name, ())),
    )


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _sizes(path: Path) -> Iterator[int]:
    """Of each file once, though uv links those that it has in a cache of its own."""
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(OSError):
                yield Path(folder, name).lstat().st_size


def _users(folder: Path) -> dict[str, list[int]]:
    """By the name of the environment: processes whose interpreter lies in it."""
    found: dict[str, list[int]] = {}
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or [""]
        with contextlib.suppress(ValueError):
            inner = Path(command[0]).relative_to(folder.absolute())
            found.setdefault(inner.parts[0], []).append(process.pid)
    return found
