"""Print, as JSON, what the installed `baseten` and `truss` say of the platform: one line for each fact that could move.

Run by the interpreter that has them: python .ci/platform_facts.py [inference|management|truss …], all of them without.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_WORDS_FOR_PEOPLE = {"description", "title", "examples"}
_MANAGEMENT = ("Autoscaling", "Backpressure", "DeploymentStatus")


def main() -> int:
    """The facts of these parts, by name."""
    parts = {"inference": of_the_inference_api, "management": of_the_management_api, "truss": of_truss}
    facts = dict(sorted(fact for part in sys.argv[1:] or parts for fact in parts[part]()))
    json.dump(facts, sys.stdout, indent=1)
    print()
    return 0


def of_the_inference_api() -> Iterator[tuple[str, Any]]:
    """Its operations, models, limits and enums."""
    from baseten.client import inferenceapi

    for name, call in inspect.getmembers(inferenceapi.ApiClient, inspect.isfunction):
        if not name.startswith("_"):
            asked = [each for each in inspect.signature(call).parameters if each != "self"]
            yield f"baseten: operation {name}", ", ".join(asked)
    yield from of_models(inferenceapi, "baseten: model")


def of_the_management_api() -> Iterator[tuple[str, Any]]:
    """What it knows of scaling, backpressure and the statuses of a deployment."""
    from baseten.client import managementapi

    yield from of_models(managementapi, "baseten management: model", _MANAGEMENT)


def of_models(module: Any, prefix: str, only: tuple[str, ...] = ("",)) -> Iterator[tuple[str, Any]]:
    """Of each pydantic model, what its schema says."""
    for name, model in inspect.getmembers(module, inspect.isclass):
        schema = getattr(model, "model_json_schema", None)
        if schema is not None and any(part in name for part in only):
            own = {key: value for key, value in schema().items() if key != "$defs"}
            yield from flat(own, f"{prefix} {name}")


def flat(schema: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A schema in single facts."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            yield from of_key(key, value, name)
    elif isinstance(schema, list):
        for each in schema:
            yield from flat(each, name)
    else:
        yield name, schema


def of_key(key: str, value: Any, name: str) -> Iterator[tuple[str, Any]]:
    """What a key of a schema says; each value of an enum is a fact of its own."""
    if key in ("enum", "required"):
        for each in value:
            yield f"{name}: {'value' if key == 'enum' else key} {each}", True
    elif key == "properties":
        for field, said in value.items():
            yield f"{name}.{field}", True
            yield from flat(said, f"{name}.{field}")
    elif key not in _WORDS_FOR_PEOPLE:
        yield from flat(value, f"{name}: {key}")


def of_truss() -> Iterator[tuple[str, Any]]:
    """Its commands, and what its server requires, says and answers."""
    import truss
    from truss.cli.cli import truss_cli

    yield from of_commands(truss_cli, "truss: command")
    server = Path(truss.__file__).parent / "templates" / "server"
    for file in ("requirements.txt", "constraints.txt"):
        for line in (server / file).read_text(encoding="utf-8").splitlines():
            required = line.partition("#")[0].strip()
            if required and not required.startswith("-"):
                yield f"truss server: {file} has {required}", True
    for file in (server / "_truss_common" / "errors.py", server / "truss_server.py"):
        yield from of_source(ast.parse(file.read_text(encoding="utf-8")), f"truss server: {file.name}")


def of_commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """The commands of a group, and of the groups in it."""
    for name, command in group.commands.items():
        yield f"{prefix} {name}", True
        if hasattr(command, "commands"):
            yield from of_commands(command, f"{prefix} {name}")


def of_source(tree: ast.Module, prefix: str) -> Iterator[tuple[str, Any]]:
    """Constants, statuses that are answered, and routes."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "HTTPStatus"
        ):
            yield f"{prefix} knows the status {node.attr}", True
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and node.value.startswith(("/v1/", "X-BASETEN"))
        ):
            yield f"{prefix} has {node.value}", True
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            for target in node.targets:
                yield f"{prefix}: {ast.unparse(target)}", node.value.value


if __name__ == "__main__":
    sys.exit(main())
