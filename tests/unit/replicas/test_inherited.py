from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from truss_async import replicas
from truss_async.replicas.inherited import inherited_environment
from truss_async.replicas.interpreter import process_environment

if TYPE_CHECKING:
    import pytest


def test_options_of_our_commands_are_not_handed_on_and_those_of_the_plugin_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "API_KEY",
        "WEBHOOK_SECRET",
        "WEBHOOK_SECRETS",
        "WEBHOOK_SECRET_FILE",
        "API_KEY_FILE",
        "STATE_DIR",
        "ANY",
    ):
        monkeypatch.setenv(f"TRUSS_ASYNC_{name}", "secret")
    monkeypatch.setenv("TRUSS_ASYNC_OUTPUT_URL", "file:///out")
    monkeypatch.setenv("AWS_REGION", "eu-1")
    for environment in (inherited_environment(), process_environment(Path("/bin/python"), isolated=True)):
        assert {name for name in environment if name.startswith("TRUSS_ASYNC_")} == {"TRUSS_ASYNC_OUTPUT_URL"}
        assert environment["AWS_REGION"] == "eu-1"
        assert "secret" not in environment.values()


def test_nobody_else_hands_on_an_environment() -> None:
    """Whatever is started gets what is inherited: nothing else of this room takes the environment as a whole."""
    for file in Path(replicas.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            is_whole = isinstance(node, ast.Dict | ast.Call) and "os.environ" in (
                ast.unparse(part) for part in ast.iter_child_nodes(node)
            )
            allowed = file.name == "loading.py"  # what a model in this process finds its secrets in
            assert allowed or not is_whole, f"{file}: {ast.unparse(node)}"
