import ast
import importlib
import inspect
import subprocess
import sys
from typing import Any

import pytest

import truss_async

FRONT: Any = truss_async  # type checkers know its names alone


def test_the_public_names_are_these() -> None:
    assert (
        dir(FRONT)
        == sorted(FRONT.__all__)
        == [
            "ArtifactReference",
            "AsyncOutputModel",
            "AsyncPlatformClient",
            "AsyncPredictRequest",
            "AsyncPredictResult",
            "Batch",
            "BatchSettings",
            "Deduplicator",
            "FaultKind",
            "FaultRule",
            "Harness",
            "HarnessSettings",
            "OutputStore",
            "PlatformClient",
            "TrussAsyncError",
            "WebhookMiddleware",
            "WebhookVerificationError",
            "__version__",
            "flask_webhook",
            "on_result",
            "save_output",
            "starlette_webhook",
            "verify_webhook",
        ]
    )


@pytest.mark.parametrize("package", ["", ".contract", ".model", ".stores"])
def test_type_checkers_find_each_name_where_it_is_loaded_from(package: str) -> None:
    module: Any = importlib.import_module(f"truss_async{package}")
    imports = [
        each for each in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(each, ast.ImportFrom)
    ]
    homes = {name.asname: each.module for each in imports for name in each.names if name.asname == name.name}
    assert {*homes} == {*module.__all__} - {"__version__"}
    for name, home in homes.items():
        found = importlib.import_module(f"{module.__name__}.{home}")
        assert getattr(module, name) is getattr(found, name)


@pytest.mark.parametrize("name", FRONT.__all__)
def test_every_public_name_loads(name: str) -> None:
    assert getattr(truss_async, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        _ = FRONT.nothing_of_the_kind


def test_importing_the_package_loads_no_third_party_module() -> None:
    script = (
        "import sys; before = set(sys.modules); import truss_async; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert set(shown.split()) <= {"truss_async", *sys.stdlib_module_names}


def test_a_missing_extra_is_named_with_its_pip_line() -> None:
    script = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "try:\n    from truss_async import Harness\n"
        "except ImportError as error:\n    print(error)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert shown == "Harness needs aiohttp: pip install 'truss-async[harness]'\n"
