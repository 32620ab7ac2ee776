"""What importing the plugin adds to what the Truss server has imported anyway."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.model.conftest import Serve

# Under 20 ms of modules. What else the plugin needs is imported in the background while the model loads.
EXPECTED = {
    "truss_async": {"errors", "lazy_names", "nearest", "printable", "contract", "model", "stores"},
    "truss_async.contract": {
        "deep_json",
        "headers",
        "json_text",
        "limits",
        "output_variables",
        "result_json",
        "results",
        "truss_server",
    },
    "truss_async.model": {
        "chainlets",
        "construction",
        "failures",
        "generated_models",
        "hooks",
        "installation",
        "plugin",
        "preparation",
        "requests",
        "responses",
        "saving_threads",
        "settings",
        "truss_server",
        "user_methods",
    },
    "truss_async.stores": {"keys", "templates"},
}
OF_PYTHON = {"concurrent.futures.thread", "unicodedata"}
SCRIPT = """
import sys, truss_server
before = set(sys.modules)
from truss_async import AsyncOutputModel, save_output
print(*sorted(set(sys.modules) - before))
"""


def test_the_import_adds_these_modules_and_no_other(image: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=image,
        env={**os.environ, "PYTHONPATH": str(image)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {f"{package}.{module}" for package, modules in EXPECTED.items() for module in modules}
    assert set(shown.split()) - OF_PYTHON == names | {"truss_async"}


def test_the_store_is_opened_while_the_model_loads(serve: Serve) -> None:
    """The load waits for what only the background does; the first request finds it done."""
    server = serve(
        """
import sys, time
from truss_async import AsyncOutputModel

class Model(AsyncOutputModel):
    def load(self):
        deadline = time.monotonic() + 20
        while vars(self)["_truss_async_state"].saver is None:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def predict(self, model_input):
        return model_input
"""
    )
    assert server.predict(1, "r").status == 200
