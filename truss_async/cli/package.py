"""``truss-async package``"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..printable import printable
from ..shipping import package_truss
from ..stores.schemes import LIBRARIES
from .options import AsJson, flag


def package(
    truss_dir: Annotated[Path, Parameter(name="TRUSS_DIR", help="A folder with a config.yaml.")],
    /,
    *,
    check: Annotated[bool, flag("check", "Only say what would change.")] = False,
    as_json: AsJson = False,
) -> int:
    """Put what a model container needs of this package into a truss, ready for `truss push`.

    The copy goes to the folder packages/ of the truss. A requirement on truss-async gives way to the packages
    that it needs; everything else in the config stays as it is. Then says what is still to do.
    With --check, the exit code is 1 as long as anything is.

    Example:
        truss-async package path/to/truss --check
    """
    report = package_truss(truss_dir, store_libraries=LIBRARIES, dry_run=check)
    if as_json:
        print(json.dumps(asdict(report), default=str))
    else:
        print("\n".join(map(printable, report.lines())))
    return 1 if check and not report.is_done else 0
