"""What the plugin costs those who do not use it."""

import subprocess
import sys


def test_the_plugin_imports_nothing_but_pytest_until_it_is_used() -> None:
    script = (
        "import sys, pytest, shutil, pathlib; before = set(sys.modules); import truss_async.pytest_plugin; "
        "print(sorted(set(sys.modules) - before))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['truss_async', 'truss_async.lazy_names', 'truss_async.pytest_plugin']"
