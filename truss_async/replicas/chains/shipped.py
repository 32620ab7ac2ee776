"""What truss would ship for each chainlet, and what that lacks before its outputs are saved in production."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import yaml
from packaging.utils import canonicalize_name

from ...python_code import parsed
from ...shipping.container_part import PACKAGE
from ...shipping.dependencies import container_markers, own_dependencies
from ...shipping.shortcomings import names_of

if TYPE_CHECKING:
    from ...shipping.shortcomings import StoreLibraries
    from .chain import Chain, Chainlet

_DEFAULT_PYTHON: Final = "3.13"
_URL_VARIABLE: Final = "TRUSS_ASYNC_OUTPUT_URL"
_DECORATOR: Final = "save_output"
_DECORATED: Final = "run_remote"


@dataclass(frozen=True)
class ShippedChainlet:
    """One chainlet, as it would come to its container. ``urls`` are those that its code gives to ``@save_output``."""

    name: str
    python_version: str
    requirements: tuple[str, ...]
    imports_plugin: bool
    saves: bool
    gives_url: bool
    urls: tuple[str, ...]

    def shortcomings(self, substitutes: Mapping[str, list[str]], libraries: StoreLibraries) -> Iterator[str]:
        """What it lacks, with these requirements in place of some of its own."""
        shipped = [new for line in self.requirements for new in substitutes.get(line, [line])]
        names = names_of(shipped, libraries)
        for requirement in own_dependencies((), markers_of(self)) if self.imports_plugin else ():
            if canonicalize_name(requirement.name) not in names:
                yield f"the pip_requirements of {self.name} lack {requirement}, which truss_async imports"
        if not self.saves:
            return
        if not self.gives_url:
            yield (
                f"{self.name} is not told where to save: give @save_output a url, or {_URL_VARIABLE} to the env_variables of its "
                "options"
            )
        for url in self.urls:
            library = libraries.get(urlsplit(url).scheme)
            if library is not None and library[0] not in names:
                yield (
                    f"the pip_requirements of {self.name} lack {library[0]}, which {url} needs: ask for "
                    f"truss-async[{library[1]}], or add it"
                )


def markers_of(chainlet: ShippedChainlet) -> dict[str, str]:
    """The environment markers of its container."""
    return container_markers(chainlet.python_version)


def shipped_chainlets(chain: Chain) -> tuple[ShippedChainlet, ...]:
    """Those that truss makes of the chain's own classes."""
    return tuple(
        _shipped(each)
        for each in chain.chainlets
        if (each.truss_dir / "packages").is_dir() and each.is_generated
    )


def _shipped(chainlet: Chainlet) -> ShippedChainlet:
    config: dict[str, Any] = yaml.safe_load((chainlet.truss_dir / "config.yaml").read_text(encoding="utf-8"))
    modules = list(_modules(chainlet.truss_dir))
    decorators = [each for module in modules for each in _decorators(module, chainlet.name)]
    in_code = [
        keyword.value
        for each in decorators
        for keyword in (each.keywords if isinstance(each, ast.Call) else ())
        if keyword.arg == "url"
    ]
    settings = (config.get("model_metadata") or {}).get("async_output") or {}
    given = [(config.get("environment_variables") or {}).get(_URL_VARIABLE), settings.get("url")]
    spelled_out = [node.value for node in in_code if isinstance(node, ast.Constant)]
    version = re.fullmatch(r"py(\d)(\d+)", str(config.get("python_version")))
    return ShippedChainlet(
        name=chainlet.name,
        python_version=f"{version[1]}.{version[2]}" if version else _DEFAULT_PYTHON,
        requirements=_requirements(chainlet.truss_dir, config),
        imports_plugin=any(PACKAGE in _imported(module) for module in modules),
        saves=bool(decorators),
        gives_url=bool(in_code) or any(given),
        urls=tuple(url for url in (*spelled_out, *given) if isinstance(url, str)),
    )


def _requirements(truss_dir: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    file = truss_dir / str(config.get("requirements_file") or "")
    lines = file.read_text(encoding="utf-8").splitlines() if file.suffix == ".txt" else []
    return tuple(line.strip() for line in [*lines, *(config.get("requirements") or [])] if line.strip())


def _modules(truss_dir: Path) -> Iterator[ast.Module]:
    """The code of the generated model, and of all that it imports of what is shipped beside it, parsed."""
    packages, pending, seen = truss_dir / "packages", [truss_dir / "model" / "model.py"], set[Path]()
    while pending:
        path = pending.pop()
        if path in seen or not path.is_file():
            continue
        seen.add(path)
        try:
            module = parsed(path.read_bytes())
        except SyntaxError:
            continue
        yield module
        for name in _imported(module) - {PACKAGE}:
            place = packages.joinpath(*name.split("."))
            pending += [place.with_suffix(".py"), place / "__init__.py"]


def _imported(module: ast.Module) -> set[str]:
    """The modules that may be meant by its imports: of ``from a import b``, a and a.b; of ``import a.b``, both."""
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names | {name.partition(".")[0] for name in names}


def _decorators(module: ast.Module, class_name: str) -> Sequence[ast.expr]:
    """Where ``run_remote`` of the class is decorated to be saved."""
    return [
        decorator
        for node in ast.walk(module)
        if isinstance(node, ast.ClassDef) and node.name == class_name
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and method.name == _DECORATED
        for decorator in method.decorator_list
        if _is_ours(decorator.func if isinstance(decorator, ast.Call) else decorator)
    ]


def _is_ours(named: ast.expr) -> bool:
    return (isinstance(named, ast.Name) and named.id == _DECORATOR) or (
        isinstance(named, ast.Attribute) and named.attr == _DECORATOR
    )
