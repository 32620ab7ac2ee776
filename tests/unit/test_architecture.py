"""docs/architecture.md, docs/glossary.md and CONTRIBUTING.md say what the tree and the import contracts say; nothing in it outgrows the rest.

``python -m tests.unit.test_architecture`` draws the layers and the picture of the page anew.
"""

import ast
import re
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "truss_async"
PAGES = ["docs/architecture.md", "docs/glossary.md", "CONTRIBUTING.md", "SECURITY.md"]
OF_A_TRUSS = {"config.yaml", "model.py", "model/model.py"}  # the user's own files


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def layers() -> list[list[str]]:
    """The rooms from the top down, as the import contract has them; those of one row know nothing of each other."""
    project = tomllib.loads(text_of("pyproject.toml"))
    contracts = project["tool"]["importlinter"]["contracts"]
    rows = next(each["layers"] for each in contracts if each["name"] == "imports point down")
    return [[name.removeprefix("truss_async.") for name in re.split(r"\s*[|:]\s*", row)] for row in rows]


def room_of(module: str) -> str | None:
    """``truss_async.stores.keys`` → ``stores``; None for what is not in the package, and for its front."""
    parts = module.split(".")
    return parts[1] if parts[0] == "truss_async" and len(parts) > 1 else None


def imported_by(file: Path) -> set[str]:
    """The rooms whose names the file imports, wherever in it; what only a type checker imports counts, too."""
    parts = ("truss_async", *file.relative_to(PACKAGE).with_suffix("").parts)
    rooms: set[str | None] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            rooms |= {room_of(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = (
                [*parts[: -node.level], *filter(None, [node.module])] if node.level else [node.module or ""]
            )
            module = ".".join(base)
            named = (
                [f"{module}.{alias.name}" for alias in node.names] if module == "truss_async" else [module]
            )
            rooms |= {room_of(each) for each in named}
    return {room for room in rooms if room is not None}


@cache
def imports() -> dict[str, set[str]]:
    """What each room imports, itself left out."""
    rooms = [room for row in layers() for room in row]
    found: dict[str, set[str]] = {}
    for room in rooms:
        folder = PACKAGE / room
        files = sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{room}.py"]
        found[room] = {each for file in files for each in imported_by(file)} & set(rooms) - {room}
    return found


def picture() -> str:
    """The rooms and their imports in Mermaid's words; an import that others imply is left out."""
    reach: dict[str, set[str]] = {}
    for room in reversed([room for row in layers() for room in row]):
        reach[room] = imports()[room].union(*(reach[each] for each in imports()[room]))
    arrows = []
    for room in reach:
        implied: set[str] = set().union(*(reach[each] for each in imports()[room]))
        arrows += [f"  {room} --> {each}" for each in sorted(imports()[room] - implied)]
    rows = [
        f"  subgraph row{number}[ ]\n    {' ~~~ '.join(row)}\n  end" for number, row in enumerate(layers(), 1)
    ]
    return "\n".join(["flowchart TD", *rows, *sorted(arrows)])


def drawn() -> str:
    """The page with its layers and its picture as they are now."""
    page = text_of("docs/architecture.md")
    for language, block in (("text", "\n".join(" | ".join(row) for row in layers())), ("mermaid", picture())):
        page, count = re.subn(rf"(?s)(?<=```{language}\n).*?(?=\n```)", block, page)
        assert count == 1, f"the page has {count} blocks of {language}"
    return page


def test_the_page_shows_the_layers_of_the_import_contract_and_the_imports_that_the_code_has() -> None:
    assert text_of("docs/architecture.md") == drawn(), "run: python -m tests.unit.test_architecture"


def test_every_import_of_the_package_points_down() -> None:
    rank = {room: number for number, row in enumerate(layers()) for room in row}
    up = [
        f"{room} -> {each}" for room, rooms in imports().items() for each in rooms if rank[each] <= rank[room]
    ]
    assert up == []


def test_every_folder_of_the_package_has_a_layer() -> None:
    folders = {each.name for each in PACKAGE.iterdir() if each.is_dir() and any(each.glob("*.py"))}
    assert folders - {room for row in layers() for room in row} == set()


def test_no_function_is_longer_than_60_lines() -> None:
    lengths = {
        f"{file.relative_to(PACKAGE)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_no_room_holds_more_than_35_per_cent_of_the_package() -> None:
    lines: Counter[str] = Counter()
    for file in PACKAGE.rglob("*.py"):
        lines[file.relative_to(PACKAGE).parts[0]] += file.read_text(encoding="utf-8").count("\n")
    assert max(lines.values()) <= 0.35 * sum(lines.values())


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
    named = re.findall(r"`([\w./{},*-]+/[\w./{},*-]*|[\w-]+\.(?:py|md|toml|sql|yaml))`", text)
    linked = re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text)
    assert named or linked
    missing = [name for name in named if name not in OF_A_TRUSS and not is_there(name)]
    missing += [name for name in linked if not (ROOT / page).parent.joinpath(name).exists()]
    assert missing == []


def is_there(name: str) -> bool:
    """From the top of the repository, or of the package."""
    return any((base / name).exists() for base in (ROOT, PACKAGE))


def test_every_module_that_the_life_of_a_request_names_is_there() -> None:
    names = re.findall(r"`truss_async((?:\.\w+)+)`", text_of("docs/architecture.md"))
    for dotted in names:
        path = PACKAGE.joinpath(*dotted.strip(".").split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), dotted


def test_contributing_says_where_each_kind_of_change_goes() -> None:
    rows = re.findall(r"^\| (?:an?|the) ([\w -]+?) \|", text_of("CONTRIBUTING.md"), re.MULTILINE)
    wanted = (
        "retry schedule, store, command, queue storage, fault kind, metric, status, plugin setting, page, "
        "receiver framework, request field, API call"
    )
    assert set(wanted.split(", ")) <= set(rows)


if __name__ == "__main__":
    (ROOT / "docs" / "architecture.md").write_text(drawn(), encoding="utf-8")
