"""The pages, and the lists behind them: each filter with a million kept requests, and what open pages take from callers."""

import asyncio
import html
import re
import sqlite3
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import httpx
from yarl import URL

from truss_async import Harness, HarnessSettings
from truss_async.contract import RequestStatus, WebhookStatus
from truss_async.harness.request_queue.schema import bring_up_to_date

from .harness import CONNECTIONS, SUBMIT, body
from .load import HEADERS, post_many
from .report import Figure
from .servers import Server, never_answer, started

KEPT = 1_000_000
RARE = 1_000
SHOWN = 15
MUST_MS, AIM_MS = 100, 20
ROUNDS = 6
REQUESTS = 12_000
PAGES = ("", "page/requests", "page/requests?status=QUEUED", "page/requests?status=FAILED", "page/webhooks")
DEPLOYMENT = "local1"
KEPT_REQUESTS = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO requests (
  seq, request_id, deployment_id, status, webhook_status, priority, request, created_at, expires_at, status_at, started_at,
  finished_at, over_at, attempts
)
SELECT
  n, lower(hex(randomblob(16))), :deployment, CASE WHEN n <= :rare THEN 'FAILED' ELSE 'SUCCEEDED' END,
  CASE WHEN n <= :rare / 2 THEN 'FAILED' WHEN n % 3 = 0 THEN 'NO_WEBHOOK_PROVIDED' ELSE 'SUCCEEDED' END,
  CASE WHEN n <= :rare / 4 THEN 2 ELSE n % 2 END,
  '{"model_id": "local", "chain_id": null, "webhook_endpoint": "http://127.0.0.1:9/hook", "retry_config": {}}',
  :now - (:count - n) * 3000, :now + 3600000000, :now, :now, :now, :now, 1
FROM numbers
"""
"""What is rare was accepted before all others, where a look through the list comes to it last."""


def filters(known_id: str) -> dict[str, dict[str, str]]:
    """What is asked for, by its name: what all meet, few, and none, and several at once."""
    return {
        "all": {},
        **{each.value: {"status": each.value} for each in RequestStatus},
        **{f"webhook {each.value}": {"webhook_status": each.value} for each in WebhookStatus},
        **{f"priority {each}": {"priority": each} for each in "012"},
        "a deployment": {"deployment": DEPLOYMENT},
        "no deployment": {"deployment": "none"},
        "since 1 s": {"since": "1s"},
        "since 1 d": {"since": "1d"},
        "id prefix": {"id_prefix": known_id[:6]},
        "FAILED, webhook SUCCEEDED, priority 2": {
            "status": "FAILED",
            "webhook_status": "SUCCEEDED",
            "priority": "2",
        },
        "FAILED since 1 s": {"status": "FAILED", "since": "1s"},
        "SUCCEEDED, id prefix": {"status": "SUCCEEDED", "id_prefix": known_id[:6]},
    }


def make_kept(file: Path, *, count: int) -> str:
    """A queue file with so many requests that are over; return the id of one that is rare."""
    now = (datetime.now(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(
        microseconds=1
    )
    values = {"count": count, "rare": RARE, "deployment": DEPLOYMENT, "now": now}
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        bring_up_to_date(connection, file)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(KEPT_REQUESTS, values)
        connection.execute("COMMIT")
        return str(connection.execute("SELECT request_id FROM requests WHERE seq = 7").fetchone()[0])


def lists(folder: Path) -> list[Figure]:
    """How long a page of each filter takes, until its answer is there."""
    folder.mkdir(mode=0o700)
    known_id = make_kept(folder / "queue.sqlite3", count=KEPT)
    settings = HarnessSettings(
        model=never_answer, model_id="local", adopt=True, port=0, state_dir=folder, limits="none"
    )
    with (
        Harness(settings, stories=False) as harness,
        httpx.Client(base_url=harness.url, headers=HEADERS, timeout=60) as http,
    ):
        return [
            Figure(
                f"1,000,000 kept: {name}",
                statistics.median(_milliseconds(http, asked) for _ in range(SHOWN)),
                "ms",
                MUST_MS,
                AIM_MS,
                at_most=True,
            )
            for name, asked in filters(known_id).items()
        ]


def _milliseconds(http: httpx.Client, asked: dict[str, str]) -> float:
    begun = time.perf_counter()
    http.get(f"/_harness/requests?{urlencode(asked)}").raise_for_status()
    return 1000 * (time.perf_counter() - begun)


@asynccontextmanager
async def open_pages(url: str, paths: tuple[str, ...]) -> AsyncIterator[None]:
    """Pages that are open as a browser has them: each holds a stream, and asks for itself when that says so."""
    async with aiohttp.ClientSession(headers={"Accept": "text/html"}) as session:
        opened = [asyncio.Event() for _ in paths]
        viewers = [
            asyncio.create_task(_look(session, url, path, event))
            for path, event in zip(paths, opened, strict=True)
        ]
        until: list[asyncio.Future[Any]] = [
            asyncio.gather(*(event.wait() for event in opened)),
            *viewers,
        ]
        await asyncio.wait(until, return_when=asyncio.FIRST_COMPLETED)
        for viewer in viewers:
            if viewer.done():
                viewer.result()
        try:
            yield
        finally:
            for viewer in viewers:
                viewer.cancel()
            await asyncio.gather(*viewers, return_exceptions=True)


async def _look(session: aiohttp.ClientSession, url: str, path: str, opened: asyncio.Event) -> None:
    async def load(**headers: str) -> str:
        async with session.get(f"{url}/_harness/{path}", headers=headers) as answer:
            answer.raise_for_status()
            return await answer.text()

    (stream_path,) = re.findall(r'data-stream="([^"]+)"', await load())
    timeout = aiohttp.ClientTimeout(total=None)
    async with session.get(URL(url + html.unescape(stream_path), encoded=True), timeout=timeout) as stream:
        async for line in stream.content:
            opened.set()
            if line.strip() == b"event: changed":
                await load(**{"HX-Request": "true"})


def accepted(server: Server, *pages: str) -> float:
    """Requests a second that are accepted while these pages are open."""

    async def run() -> float:
        async with open_pages(server.url, pages):
            load = await post_many(f"{server.url}/{SUBMIT}", body(), count=REQUESTS, connections=CONNECTIONS)
        return load.per_second

    return asyncio.run(run())


def beside_callers(folder: Path) -> list[Figure]:
    """What is accepted while pages are open, as a share of what is without; the median of several rounds, in turns."""
    with started("stuck harness", str(folder)) as server:
        accepted(server)
        rates: dict[tuple[str, ...], list[float]] = {(): [], PAGES: []}
        for number in range(ROUNDS):  # who comes second in a round pays for what the first has left
            for pages in ((), PAGES) if number % 2 else (PAGES, ()):
                rates[pages].append(accepted(server, *pages))
        alone, watched = statistics.median(rates[()]), statistics.median(rates[PAGES])
    return [
        Figure("accepted, no page open, requests a second", alone),
        Figure("accepted with five pages open, share", watched / alone, "", 0.95, 0.99),
    ]


def measure() -> list[Figure]:
    """Every figure, one after the other."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [*lists(folder / "kept"), *beside_callers(folder / "accept")]
