"""What this machine has: Python, packages, a free port, room on the disk, the right time."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
from contextlib import closing
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from packaging.markers import default_environment
from packaging.utils import canonicalize_name

from ..contract.limits import WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import HarnessError
from ..harness.running import bind
from ..shipping.dependencies import DISTRIBUTION, own_dependencies
from ..timed_http import NoAnswerError, TimedHttp
from .findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

    from ..clock import Clock

NEWEST_TESTED_PYTHON: Final = (3, 13)
LEAST_FREE_BYTES: Final = 2 * 10**9
"""The environment of a small model takes less; that of one with a large framework takes more."""
_GB: Final = 10**9
_TIMEOUT_SECONDS: Final = 5.0
_OF_THE_CLOUDS: Final = ("s3", "gcs", "azure")


def python() -> Finding:
    """The Python that runs this command."""
    running = ".".join(map(str, sys.version_info[:3]))
    found = f"{running}, {sys.executable}"
    if sys.version_info[:2] > NEWEST_TESTED_PYTHON:
        newest = ".".join(map(str, NEWEST_TESTED_PYTHON))
        return Finding("Python", "note", f"{found}; this version of truss-async is tested up to {newest}")
    return Finding("Python", "ok", found)


def packages() -> Iterator[Finding]:
    """Truss, and what is installed of each extra."""
    harness = list(_lacking("harness"))
    try:
        version = importlib.metadata.version("truss")
    except importlib.metadata.PackageNotFoundError:
        version = ""
    wrong = [each for each in harness if each.startswith("truss")]
    remedy = f"pip install '{DISTRIBUTION}[harness]'"
    if wrong:
        yield Finding("Truss", "failed", f"{version or 'not installed'}; {wrong[0]} is required", remedy)
    else:
        yield Finding("Truss", "ok", version)
    if others := [each for each in harness if each not in wrong]:
        yield Finding("extras", "failed", f"the harness extra lacks {', '.join(others)}", remedy)
        return
    extras = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra", [])
    there = [name for name in extras if not any(_lacking(name))]
    absent = [name for name in _OF_THE_CLOUDS if name not in there]
    hint = f"; not installed: stores for {', '.join(absent)}" if absent else ""
    yield Finding("extras", "ok", f"{', '.join(there)}{hint}")


def _lacking(extra: str) -> Iterator[str]:
    here = {name: str(value) for name, value in default_environment().items()}
    for requirement in own_dependencies([extra], here):
        if not _is_met(requirement):
            yield str(requirement)


def _is_met(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(canonicalize_name(requirement.name))
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def port(host: str, number: int) -> Finding:
    """Whether the harness could listen there."""
    try:
        bind(host, number).close()
    except HarnessError as error:
        problem, _, remedy = str(error).partition("; ")
        return Finding("port", "failed", problem, f"stop the process that listens there, or {remedy}")
    return Finding("port", "ok", f"{host}:{number} is free")


def disk(folder: Path, *, what: str) -> Finding:
    """Whether the folder, which need not be there yet, can be written, and has room."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    found = f"{what} {folder}: {free / _GB:.1f} GB free"
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        return Finding("disk", "failed", f"{what} {folder} cannot be written", "choose a folder that you own")
    if free < LEAST_FREE_BYTES:
        return Finding("disk", "failed", found, f"make room: {LEAST_FREE_BYTES / _GB:g} GB are needed")
    return Finding("disk", "ok", found)


def time_of_day(url: str, *, clock: Clock) -> Finding:
    """Whether this machine's time is that of the server at the URL."""
    http = TimedHttp(purpose="comparing the clock", timeout_seconds=_TIMEOUT_SECONDS, trust_env=True)
    with closing(http):
        try:
            answer = http.send("HEAD", url, wants_body=False)
            told = parsedate_to_datetime(answer.headers.get("date", ""))
        except (TimeoutError, NoAnswerError) as error:
            return Finding("clock", "note", f"not checked: {url} does not answer: {error}")
        except ValueError:
            return Finding("clock", "note", f"not checked: {url} does not send a date")
    seconds = (clock.now() - told).total_seconds()
    found = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} {url}"
    if abs(seconds) > WEBHOOK_AGE_TOLERANCE_SECONDS / 2:
        return Finding(
            "clock",
            "failed",
            found,
            "correct this machine's clock: webhook and S3 signatures are rejected otherwise",
        )
    return Finding("clock", "ok", found)
