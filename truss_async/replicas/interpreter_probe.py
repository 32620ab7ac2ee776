"""Tells what a Python interpreter is and what is installed in it. Needs the standard library alone.

Its text is run by interpreters that know nothing of this package, and prints JSON.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from typing import Any


def describe(modules: list[str]) -> dict[str, Any]:
    """The environment of PEP 508 markers, each distribution's version and requirements, and which modules are not there."""
    info = sys.implementation.version
    suffix = "" if info.releaselevel == "final" else f"{info.releaselevel[0]}{info.serial}"
    markers = {
        "implementation_name": sys.implementation.name,
        "implementation_version": f"{info.major}.{info.minor}.{info.micro}{suffix}",
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }
    installed: dict[str, Any] = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        # The first one on the path is the one that is imported.
        if name and name not in installed:
            installed[name] = {"version": distribution.version, "requires": distribution.requires or []}
    return {
        "executable": sys.executable,
        "base_prefix": sys.base_prefix,
        "markers": markers,
        "installed": installed,
        "absent": [name for name in modules if importlib.util.find_spec(name) is None],
    }


if __name__ == "__main__":
    # The current folder, put there for code without a file, is not part of the interpreter.
    sys.path = [entry for entry in sys.path if entry]
    print(json.dumps(describe(sys.argv[1:])))
