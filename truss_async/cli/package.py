"""``truss-async package``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ..printable import printable
from ..replicas.settings import split_chain
from ..shipping import package_truss
from ..stores.schemes import LIBRARIES
from .options import AsJson, flag

if TYPE_CHECKING:
    from ..replicas.chains.packaging import ChainPackageReport
    from ..shipping import PackageReport


def package(
    truss_dir: Annotated[
        Path,
        Parameter(
            name="TRUSS_DIR",
            help="Folder with a config.yaml, or the Python file of a chain: CHAIN.py or CHAIN.py:ENTRY_POINT.",
        ),
    ],
    /,
    *,
    check: Annotated[bool, flag("package_check", "Show what would change, and change nothing.")] = False,
    as_json: AsJson = False,
) -> int:
    """Copy the plugin into a truss or a chain, ready for `truss push` or `truss chains push`.

    The plugin is copied to packages/ in the truss, or next to the chain's file. In the config, the requirement
    truss-async is replaced by the packages that the plugin needs. Then lists what is left for you to do; the exit code is 1 if there is anything.

    Example:
        truss-async package path/to/truss --check
        truss-async package my_chain.py
    """
    report = _packaged(truss_dir, dry_run=check)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    else:
        print("\n".join(map(printable, report.lines())))
    return 0 if report.is_done else 1


def _packaged(path: Path, *, dry_run: bool) -> "PackageReport | ChainPackageReport":
    if split_chain(str(path)) is None:
        return package_truss(path, store_libraries=LIBRARIES, dry_run=dry_run)
    from ..replicas.chains import ChainSource
    from ..replicas.chains.packaging import package_chain

    return package_chain(ChainSource.parse(str(path)), store_libraries=LIBRARIES, dry_run=dry_run)
