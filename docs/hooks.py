"""The pages of the site that are made from the code, and links that lead out of the folder of pages."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page
    from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
SHARED_PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages that stand beside the code, and their places in the site."""

_LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is made from the code, and the pages that stand beside it."""
    for place, text in _made_pages():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to files that are no pages to where the code is kept."""
    source = page.file.src_uri
    folder = ROOT if source in SHARED_PAGES.values() else (ROOT / "docs" / source).parent

    def led(found: re.Match[str]) -> str:
        target = (folder / found[1]).resolve()
        if not target.exists():
            return found[0]  # of a page that is made, or wrong: the build says so
        name = target.relative_to(ROOT).as_posix()
        if name in SHARED_PAGES:
            name = f"docs/{SHARED_PAGES[name]}"
        if name.startswith("docs/"):
            up = "../" * source.count("/")
            return up + name.removeprefix("docs/") + (found[2] or "")
        return f"{config.extra['repository']}/blob/main/{name}{found[2] or ''}"

    return _LINK.sub(led, markdown)


def _made_pages() -> Iterator[tuple[str, str]]:
    for name, place in SHARED_PAGES.items():
        yield place, (ROOT / name).read_text()
    yield "reference/commands.md", _commands()
    yield "reference/settings.md", _settings()
    yield "reference/python.md", _python()
    yield "reference/http.md", _http()


def _commands() -> str:
    """Every command as its ``--help`` tells it."""
    from truss_async.cli.app import COMMANDS, HELP, make_app, select_command

    parts = [f"# Commands\n\n{HELP} Options can also be set by environment variables."]
    for name in COMMANDS:
        app = make_app()
        select_command(app, [name])
        command = app[name]
        for each in [each for each in command if not each.startswith("-")]:
            select_command(app, [name, each])
        told = command.generate_docs(heading_level=2, usage_name=f"truss-async {name}")
        told = re.sub(rf"^(#+) {re.escape(name)}", rf"\1 truss-async {name}", told, flags=re.MULTILINE)
        parts.append(re.sub(r"#+ Table of Contents\n\n(- .*\n)+\n?", "", told))
    return "\n\n".join(parts)


def _settings() -> str:
    """The settings of the plugin and of the harness: names, variables, defaults, meaning."""
    from truss_async.harness.settings import HarnessSettings
    from truss_async.model.settings import ENVIRONMENT_PREFIX, OutputSettings

    plugin = _table(OutputSettings, lambda name: ENVIRONMENT_PREFIX + name.upper())
    harness = _table(HarnessSettings, lambda name: f"TRUSS_ASYNC_{name.upper()}")
    return (
        "# Settings\n\n## Of the plugin\n\n"
        "Each may be an argument of `save_output(…)`, an attribute of the model class (`output_url = …`), a variable, or a "
        f"key of `model_metadata.async_output` in config.yaml; the first of these wins.\n\n{plugin}\n\n"
        "## Of the harness\n\n`HarnessSettings(…)` in Python and in a pytest marker; on the command line, `serve --…`.\n\n"
        f"{harness}\n"
    )


def _table(model: type[BaseModel], variable: Any) -> str:
    rows = ["| setting | variable | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        default = "needed" if field.is_required() else f"`{field.get_default()!r}`"
        meaning = (field.description or "").replace("|", "\\|")
        rows.append(f"| `{name}` | `{variable(name)}` | {default} | {meaning} |")
    return "\n".join(rows)


def _python() -> str:
    """What ``truss_async`` exports, and the errors."""
    import truss_async

    names = [name for name in truss_async.__all__ if not name.startswith("_")]
    parts = [
        "# Python\n\nEach of these is imported from `truss_async`, the errors also from `truss_async.errors`."
    ]
    for name in names:
        home = getattr(truss_async, name).__module__
        parts.append(f"::: {home}.{name}\n    options:\n      show_root_full_path: false")
    parts.append(
        "## Errors\n\n::: truss_async.errors\n    options:\n      show_root_heading: false\n      heading_level: 3"
    )
    return "\n\n".join(parts)


def _http() -> str:
    """Every call of the harness, from its own description."""
    from truss_async.harness.api.operations import openapi_document

    document = openapi_document()
    parts = [
        f"# HTTP\n\n{document['info']['description']}\n\n`GET /_harness/openapi.json` answers the whole description."
    ]
    parts.append("| call | does | answers |\n| --- | --- | --- |")
    rows = []
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            statuses = ", ".join(described["responses"])
            rows.append(f"| `{method.upper()} {path}` | {described['summary']} | {statuses} |")
    parts[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(parts)
