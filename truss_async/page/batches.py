"""The ledgers of batches in one folder: how far each is, and its results as a file."""

from __future__ import annotations

import asyncio
import csv
import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from ..errors import ApiError, TrussAsyncError
from .forms import BadFormError
from .site import PAGES, Site, showing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.routing import Route

    from ..client.batch import Progress

PATH: Final = f"{PAGES}/results/batches/{{name}}"
ENDING: Final = ".ledger"
MAX_LEDGERS: Final = 100
FORMATS: Final = {"jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8"}
COLUMNS: Final = ("custom_id", "request_id", "body")


class LedgerView(NamedTuple):
    """One ledger, or why it cannot be read."""

    name: str
    progress: Progress | None
    problem: str | None = None


def routes(site: Site) -> list[Route]:
    """The file of a ledger's results."""
    exporting = asyncio.Lock()

    async def export(site: Site, request: Request) -> Response:
        if not site.settings.shows_payloads:
            raise ApiError("outputs are not shown here; start with --page-payloads", status_code=403)
        name, format = request.path_params["name"], format_of(request)
        ledger = next((each for each in ledgers_in(site.settings.batch_dir) if each.name == name), None)
        if ledger is None:
            raise ApiError(f"there is no ledger {name} here", status_code=404)
        async with exporting:  # each goes by way of one file beside its ledger
            try:
                file = await asyncio.to_thread(_exported, ledger, format)
            except TrussAsyncError as error:
                raise ApiError(str(error), status_code=409) from None
        return download(file, name=f"{name.removesuffix(ENDING)}.{format}", format=format)

    return [showing(site, PATH, export)]


def ledgers_in(folder: Path | None) -> list[Path]:
    """The ledgers of a folder, the latest changed first; none without a folder."""
    if folder is None or not folder.is_dir():
        return []
    found = [each for each in folder.iterdir() if each.name.endswith(ENDING) and each.is_file()]
    return sorted(found, key=lambda each: (-each.stat().st_mtime, each.name))[:MAX_LEDGERS]


def views_of(folder: Path | None) -> list[LedgerView]:
    """How far each is, as ``batch status`` says; to be called in a thread."""
    return [_view(each) for each in ledgers_in(folder)]


def format_of(request: Request) -> str:
    """Which kind of file is asked for.

    Raises:
        BadFormError: another than there is.
    """
    format = request.query_params.get("format", "jsonl")
    if format not in FORMATS:
        raise BadFormError(f"format: give one of {', '.join(FORMATS)}")
    return format


def download(file: Path, *, name: str, format: str) -> Response:
    """Send a file, and remove it then."""
    return FileResponse(
        file,
        media_type=FORMATS[format],
        filename=name,
        background=BackgroundTask(file.unlink, missing_ok=True),
    )


def scratch_file(format: str) -> Path:
    """A new file of nobody else's."""
    with tempfile.NamedTemporaryFile(prefix="truss-async-", suffix=f".{format}", delete=False) as made:
        return Path(made.name)


def _view(ledger: Path) -> LedgerView:
    from ..client.batch import batch_status  # with an HTTP client, which nothing else here needs

    try:
        return LedgerView(ledger.name, batch_status(ledger))
    except TrussAsyncError as error:
        return LedgerView(ledger.name, None, str(error))


def _exported(ledger: Path, format: str) -> Path:
    from ..client.batch import export_results

    lines = scratch_file("jsonl")
    try:
        export_results(ledger, out=str(lines))
        return lines if format == "jsonl" else _as_csv(lines)
    except BaseException:
        lines.unlink(missing_ok=True)
        raise


def _as_csv(lines: Path) -> Path:
    """A row for each line; the output is JSON text."""
    table = scratch_file("csv")
    with table.open("w", encoding="utf-8", newline="") as file, closing(_rows(lines)) as rows:  # type: ignore[type-var]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    lines.unlink()
    return table


def _rows(lines: Path) -> Iterator[tuple[str, str, str]]:
    with lines.open("rb") as file:
        for line in file:
            row = json.loads(line)
            answer = row["response"]
            yield row["custom_id"], answer["request_id"], json.dumps(answer["body"], ensure_ascii=False)
