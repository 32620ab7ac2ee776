"""``truss-async cache``"""

import json
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from ..clock import SYSTEM_CLOCK
from ..contract.moments import duration
from ..errors import SettingsError
from ..harness.settings import HarnessSettings
from ..printable import printable
from ..replicas.kept_environments import KeptEnvironment, kept_environments, remove
from ..replicas.venv_cache import environments_folder
from .options import AsJson, flag, option
from .variables import variable

_MB = 10**6
_SHOWN = 60

cache = App(name="cache", help_epilogue="Example:\n    truss-async cache list")

_CacheDir = Annotated[Path | None, option(HarnessSettings, "cache_dir")]


@cache.command(name="list")
def list_environments(*, cache_dir: _CacheDir = None, as_json: AsJson = False) -> None:
    """List the environments that `serve` has cached, most recently used first.

    Example:
        truss-async cache list
        truss-async cache list --json
    """
    found = kept_environments(environments_folder(cache_dir))
    if as_json:
        print(json.dumps([_facts(each) for each in found]))
        return
    for each in found:
        print(_row(each))
    print(f"{len(found)} in {printable(str(environments_folder(cache_dir)))}, {_megabytes(found)}")


@cache.command(name="prune")
def prune_environments(
    *,
    unused_for: Annotated[
        str,
        Parameter(
            help="Remove environments unused for this long, such as 12h or 30d. 0s removes all that are not in use.",
            env_var=variable("cache_prune_unused_for"),
        ),
    ] = "30d",
    dry_run: Annotated[
        bool, flag("cache_prune_dry_run", "Show what would be removed, and remove nothing.")
    ] = False,
    cache_dir: _CacheDir = None,
    as_json: AsJson = False,
) -> None:
    """Remove environments that are unused or incomplete.

    Keeps environments that are in use or being installed. A removed environment is created again when it is needed.

    Example:
        truss-async cache prune --dry-run
        truss-async cache prune --unused-for 7d
    """
    earliest = SYSTEM_CLOCK.now() - _duration(unused_for)
    found = kept_environments(environments_folder(cache_dir))
    due = [each for each in found if not each.users and (not each.whole or each.used_at <= earliest)]
    gone = due if dry_run else [each for each in due if remove(each)]
    if as_json:
        print(json.dumps([_facts(each) for each in gone]))
        return
    for each in gone:
        print(_row(each))
    print(f"{'would remove' if dry_run else 'removed'} {len(gone)} of {len(found)}, {_megabytes(gone)}")


def _duration(text: str) -> timedelta:
    try:
        return duration(text)
    except ValueError as error:
        raise SettingsError(f"--unused-for: {error}") from None


def _row(each: KeptEnvironment) -> str:
    use = "unfinished" if not each.whole else "in use" if each.users else f"{each.used_at:%Y-%m-%d}"
    size = f"{each.size_bytes / _MB:,.0f} MB"
    wanted = printable(", ".join(each.requirements))
    shown = wanted if len(wanted) <= _SHOWN else f"{wanted[: _SHOWN - 1]}…"
    return f"{each.path.name}  {each.python:<8} {use:<11}{size:>10}  {shown}".rstrip()


def _megabytes(several: list[KeptEnvironment]) -> str:
    return f"{sum(each.size_bytes for each in several) / _MB:,.0f} MB"


def _facts(each: KeptEnvironment) -> dict[str, Any]:
    return {
        "path": str(each.path),
        "python": each.python,
        "requirements": list(each.requirements),
        "size_bytes": each.size_bytes,
        "used_at": each.used_at.isoformat(),
        "whole": each.whole,
        "users": list(each.users),
    }
