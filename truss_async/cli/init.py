"""``truss-async init``"""

import json
import os
import shlex
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ..printable import printable
from ..shipping.starter import write_starter_truss
from .options import AsJson


def init(
    truss_dir: Annotated[
        Path, Parameter(name="DIR", help="Folder for the new truss. It must be empty or not exist.")
    ],
    /,
    *,
    as_json: AsJson = False,
) -> None:
    """Create a working truss: a model that saves its outputs, tests, and a webhook receiver.

    `truss-async serve DIR` serves it; no cloud account is needed. `pytest DIR` runs its tests and needs
    truss-async[pytest]. Existing files are not changed.

    Example:
        truss-async init hello
    """
    files = write_starter_truss(truss_dir)
    if as_json:
        print(json.dumps({"truss_dir": str(truss_dir), "files": [str(path) for path in files]}))
        return
    width = max(len(str(path)) for path in files) + 2
    for path in files:
        print(
            f"{printable(str(path)):<{width}}{_MEANINGS.get(os.path.relpath(path, truss_dir), '')}".rstrip()
        )
    folder = shlex.quote(str(truss_dir))
    print(f"\nserve it:   truss-async serve {folder}")
    print("""call it:    truss-async submit '{"name": "Ada"}' --output    (in another terminal)""")
    print(f"test it:    pytest {folder}")


_MEANINGS = {
    "config.yaml": "name, Python version, requirements, output store",
    "model/model.py": "the model",
    "receiver.py": "a webhook endpoint",
    "test_model.py": "tests on a local platform",
    ".gitignore": "files that Git ignores",
    ".truss_ignore": "files that `truss push` ignores",
}
