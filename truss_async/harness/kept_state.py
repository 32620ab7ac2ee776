"""What a harness keeps beyond its end, and where: in a folder of its own, or in a database that several share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from ..clock import ManualClock
from ..errors import HarnessError
from .documents import FileDocument
from .earlier_run import Place, settle_subjects
from .request_queue import SqliteRequestQueue
from .state import StateFolder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..clock import Clock
    from .documents import Document
    from .request_queue import EndedRequest, RequestQueue
    from .request_queue.call_rates import CallRates
    from .request_queue.nodes import NodeList
    from .request_queue.postgres import Hints
    from .settings import HarnessSettings

_SECRETS: Final = "the webhook secrets"


@dataclass(frozen=True)
class KeptState:
    """Open until the stack that it was opened with is unwound. ``hints``, ``nodes`` and ``call_rates``, where others work on the same queue."""

    queue: RequestQueue
    webhook_secrets: Document
    subjects: Place
    outputs_folder: Path
    hints: Hints | None = None
    nodes: NodeList | None = None
    call_rates: CallRates | None = None

    async def settle(self, settings: HarnessSettings, *, report: Callable[[str], None]) -> None:
        """Note what each deployment is, from now on.

        Raises:
            HarnessError: one is something else, for which requests wait.
        """
        await asyncio.to_thread(
            settle_subjects,
            self.subjects,
            settings.all_deployments,
            open_requests=await self.queue.open_by_deployment(),
            adopt=settings.adopt,
            report=report,
        )


async def open_state(
    parts: AsyncExitStack,
    settings: HarnessSettings,
    *,
    clock: Clock,
    report: Callable[[str], None],
    on_over: Callable[[EndedRequest], None] | None,
) -> KeptState:
    """Open what the settings name, making it if need be.

    Raises:
        HarnessError: it cannot be used, or what it needs is not installed.
    """
    if settings.state is not None and isinstance(clock, ManualClock):
        raise HarnessError("a shared database uses its own clock, which cannot be moved")
    now = clock.now()
    folder = StateFolder(settings.state_dir)
    parts.callback(folder.close)
    if settings.state is None:
        return _in_folder(parts, folder, settings, now=now, report=report, on_over=on_over)
    return await _in_database(parts, folder, settings, now=now, report=report, on_over=on_over)


def _in_folder(
    parts: AsyncExitStack,
    folder: StateFolder,
    settings: HarnessSettings,
    *,
    now: datetime,
    report: Callable[[str], None],
    on_over: Callable[[EndedRequest], None] | None,
) -> KeptState:
    secrets, subjects = folder.webhook_secrets_file, folder.subjects_file
    queue = SqliteRequestQueue(
        folder.queue_file,
        now=now,
        is_synced=settings.durability == "full",
        is_kept=settings.state_dir is not None,
        keep_results=settings.keep_results,
        report=report,
        on_over=on_over,
    )
    parts.push_async_callback(queue.close)
    return KeptState(
        queue=queue,
        webhook_secrets=FileDocument(secrets, what=_SECRETS),
        subjects=Place(FileDocument(subjects), str(folder.path), folder.path.parent.resolve()),
        outputs_folder=folder.outputs_folder,
    )


async def _in_database(
    parts: AsyncExitStack,
    folder: StateFolder,
    settings: HarnessSettings,
    *,
    now: datetime,
    report: Callable[[str], None],
    on_over: Callable[[EndedRequest], None] | None,
) -> KeptState:
    try:
        from .request_queue.postgres import PostgresDocument, PostgresRequestQueue, place
    except ImportError as error:
        raise HarnessError(
            f"--state postgresql://… needs psycopg ({error}): pip install 'truss-async[postgres]'"
        ) from None
    address, schema = settings.state or "", settings.state_schema
    queue = await PostgresRequestQueue.open(
        address,
        now=now,
        schema=schema,
        lease_seconds=settings.lease_seconds,
        keep_results=settings.keep_results,
        report=report,
        on_over=on_over,
    )
    parts.push_async_callback(queue.close)
    return KeptState(
        queue=queue,
        webhook_secrets=PostgresDocument(address, schema, "webhook secrets"),
        subjects=Place(PostgresDocument(address, schema, "deployments"), place(address), None),
        outputs_folder=folder.outputs_folder,
        hints=queue.hints,
        nodes=queue.nodes,
        call_rates=queue.call_rates,
    )
