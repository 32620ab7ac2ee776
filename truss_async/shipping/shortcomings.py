"""What a truss still lacks before its outputs are saved in production: pure decisions, one plain line each."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name

from .container_part import PACKAGE, container_files
from .dependencies import parse
from .ignored import IGNORE_FILE, ignored

if TYPE_CHECKING:
    from typing import TypeAlias, TypeGuard

    from packaging.requirements import Requirement

    from .truss_source import TrussSource

    StoreLibraries: TypeAlias = Mapping[str, tuple[str, str]]
    """By the scheme of a store's URL: the library that the store needs, and the extra that installs it."""

_VARIABLES: Final = "TRUSS_ASYNC_OUTPUT_"
_HOOKS: Final = ("predict", "postprocess")
_OLDEST_PYTHON: Final = (3, 10)


def shortcomings(
    source: TrussSource,
    *,
    requirements: list[str] | None,
    needed: list[Requirement],
    libraries: StoreLibraries,
) -> list[str]:
    """What the truss lacks, given the requirement lines that it ships with (None: unknown) and what the copy imports."""
    names = None if requirements is None else names_of(requirements, libraries)
    return [
        *_model(source),
        *_left_out(source),
        *_output_url(source, names, libraries),
        *_python_version(source),
        *_missing_dependencies(source, names, needed),
    ]


def _model(source: TrussSource) -> Iterator[str]:
    module = source.model_syntax()
    if module is None:
        yield f"{source.model_path} is not valid Python"
    elif not any(_imports_us(node) for node in ast.walk(module)):
        yield f"{source.model_path.name} does not import truss_async: subclass AsyncOutputModel to save outputs"
    elif _setting(source, "streaming")[0] != "pass":
        for name in sorted({node.name for node in ast.walk(module) if _is_streaming_hook(node)}):
            yield (
                f"{name} in {source.model_path.name} is a generator; a streamed output cannot be saved: "
                'return the whole output, or set streaming to "pass", which does not save it'
            )


def _is_streaming_hook(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Whether it is a predict or a postprocess that yields itself, and no function within it."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or node.name not in _HOOKS:
        return False
    pending: list[ast.AST] = list(node.body)
    while pending:
        part = pending.pop()
        if isinstance(part, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            pending += ast.iter_child_nodes(part)
    return False


def _left_out(source: TrussSource) -> Iterator[str]:
    copy = source.packages_folder / PACKAGE
    files = [copy.relative_to(source.folder) / name for name in container_files()]
    ignore_file, left_out = ignored(source.folder, files)
    if left_out:
        yield (
            f"{ignore_file} excludes {len(left_out)} of {len(files)} files of the copy, such as {left_out[0]}, "
            f"from the push; change the pattern, in a {IGNORE_FILE} of the truss's own"
        )


def _output_url(source: TrussSource, names: set[str] | None, libraries: StoreLibraries) -> Iterator[str]:
    url, on_class = _setting(source, "url")
    if url is None and not on_class:
        yield "config.yaml lacks model_metadata.async_output.url, and the model class sets no output_url"
    elif isinstance(url, str) and (library := libraries.get(urlsplit(url).scheme)):
        name, extra = library
        if names is not None and name not in names:
            yield f"the requirements lack {name}, which {url} needs: ask for truss-async[{extra}], or add it"


def _python_version(source: TrussSource) -> Iterator[str]:
    version = source.python_version
    if version is None:
        yield "config.yaml sets no python_version, so truss's version decides; add one, such as python_version: py311"
    elif tuple(int(part) for part in version.split(".")) < _OLDEST_PYTHON:
        yield f"python_version {version} is too old: truss_async needs 3.10 or newer"


def _missing_dependencies(
    source: TrussSource, names: set[str] | None, needed: list[Requirement]
) -> Iterator[str]:
    if names is None:
        yield (
            f"{source.requirements_path} was not changed; make sure that it requires "
            f"{', '.join(str(requirement) for requirement in needed)}, and not for an unpublished truss-async"
        )
        return
    for requirement in needed:
        if canonicalize_name(requirement.name) not in names:
            yield f"the requirements lack {requirement}, which truss_async imports"


def names_of(requirements: list[str], libraries: StoreLibraries) -> set[str]:
    """The packages that these lines install; an extra of smart-open brings the library it is named for."""
    found: set[str] = set()
    for line in requirements:
        requirement = parse(line)
        if requirement is not None:
            name = canonicalize_name(requirement.name)
            found.add(name)
            if name == "smart-open":
                found |= {library for library, extra in libraries.values() if extra in requirement.extras}
    return found


def _setting(source: TrussSource, name: str) -> tuple[Any, bool]:
    """The value of a setting of the plugin, if it is spelled out somewhere, and whether the model's code sets one at all."""
    module = source.model_syntax()
    values = [] if module is None else [value for node in ast.walk(module) for value in _set_by(node, name)]
    texts = [
        value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    variables = _mapping(source.config.get("environment_variables"))
    section = _mapping(_mapping(source.config.get("model_metadata")).get("async_output"))
    # The order in which the plugin looks.
    found = (texts[0] if texts else None) or variables.get(_VARIABLES + name.upper()) or section.get(name)
    return found, bool(values)


def _set_by(node: ast.AST, name: str) -> list[ast.expr]:
    """What the node gives as the setting: ``output_url = …`` or ``save_output(url=…)``."""
    attribute = f"output_{name}"
    if isinstance(node, ast.Assign):
        return [node.value for target in node.targets if _is_name(target, attribute)]
    if isinstance(node, ast.AnnAssign):
        return [node.value] if node.value and _is_name(node.target, attribute) else []
    if isinstance(node, ast.Call) and _is_name(node.func, "save_output"):
        return [keyword.value for keyword in node.keywords if keyword.arg == name]
    return []


def _is_name(node: ast.expr, name: str) -> bool:
    return (isinstance(node, ast.Name) and node.id == name) or (
        isinstance(node, ast.Attribute) and node.attr == name
    )


def _imports_us(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] == "truss_async" for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "truss_async"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
