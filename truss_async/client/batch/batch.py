"""One batch, from its ledger to its output: what Python uses and the command wraps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...clock import SYSTEM_CLOCK, Clock
from ...contract.limits import OLDER_CANCEL_CALLS_PER_SECOND
from ...errors import ApiError
from ...stores import OutputStore
from ..async_platform import AsyncPlatformClient
from .flow import Flow, FlowOptions, Patience
from .ledger_journal import LedgerJournal
from .open_requests import OpenRequest
from .opening import OpenBatch
from .pace import Pace
from .progress import Progress, RateMeter, seconds_left
from .publishing import publish_outputs
from .receiving import ReceiverSource
from .relay import RelaySource
from .run_lock import RunLock
from .settings import BatchFiles, BatchSettings
from .sources import ResultSource, StoreSource, inbox_source

if TYPE_CHECKING:
    from .ledger import Ledger

_RECEIVER: Final = "receiver"
_NOTHING: Final = Progress(lines=0, waiting=0, open=0, done=0, failed=0, submissions=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """How a run ended. ``is_interrupted``: it was stopped before everything was over; the same batch can go on."""

    progress: Progress
    is_interrupted: bool
    ledger: Path
    out: str
    errors: str | None
    """The file of the lines that failed; None when there are none."""


class Batch:
    """Runs a batch, or goes on with it: whatever an earlier run has left in the ledger is taken up.

    ``api_key``, ``webhook_secrets`` and ``relay_key`` are not kept. ``outputs`` is the store, opened already, where the URL in the
    settings does not say all of it. ``wakes``: wake the model, and submit the rest once it works. ``checks``: refuse the
    whole input if the platform would refuse one of its lines.
    """

    def __init__(
        self,
        settings: BatchSettings,
        *,
        api_key: str,
        webhook_secrets: Sequence[str] = (),
        relay_key: str | None = None,
        outputs: OutputStore | None = None,
        wakes: bool = False,
        checks: bool = False,
        reads_copy: bool = False,
        patience: Patience | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self.files = BatchFiles(settings)
        self._api_key, self._secrets, self._relay_key = api_key, webhook_secrets, relay_key
        self._outputs = outputs
        self._wakes, self._checks, self._reads_copy = wakes, checks, reads_copy
        self._patience = patience or Patience()
        self._clock = clock
        self._meter = RateMeter()
        self._is_stopped = self._withdraws = False
        self._flow: Flow | None = None
        self._ledger: Ledger | None = None
        self._last = _NOTHING

    def stop(self, *, withdraw: bool = False) -> None:
        """End the run: nothing more is submitted, what is on its way is stored. ``withdraw``: cancel what is queued."""
        self._is_stopped, self._withdraws = True, withdraw
        if self._flow is not None:
            self._flow.stop()

    def progress(self) -> Progress:
        """How far it is."""
        ledger, flow = self._ledger, self._flow
        if ledger is None or flow is None:
            return self._last
        lines = ledger.counts.total() - ledger.beyond
        over = ledger.counts["done"] + ledger.counts["failed"]
        rate = self._meter.rate(self._clock.monotonic(), over)
        return Progress(
            lines=lines,
            waiting=ledger.waiting_now,
            open=ledger.counts["open"],
            done=ledger.counts["done"],
            failed=ledger.counts["failed"],
            submissions=ledger.submissions,
            unanswered=ledger.unanswered,
            rate_limited=flow.rate_limited,
            rate=rate,
            seconds_left=seconds_left(lines=lines, over=over, rate=rate),
            busy_seconds=flow.queue.busy_seconds,
            note=flow.note,
        )

    async def run(self) -> BatchEnd:
        """Run until every line has its result or has failed, or it is stopped.

        Raises:
            SettingsError: something about the input, the files or the settings does not fit.
            ApiError: the key is refused, or there is no such model, or no relay.
            LedgerError: nothing more can be stored.
        """
        lock = RunLock(self.files.lock, ledger=self.files.ledger)
        try:
            opened = await asyncio.to_thread(self._open)
            try:
                await self._run(opened)
                return await asyncio.to_thread(self._end, opened)
            finally:
                self._last, self._flow, self._ledger = self.progress(), None, None
                opened.close_ledger()
                opened.lines.close()
        finally:
            lock.release()

    def _open(self) -> OpenBatch:
        return OpenBatch(self.settings, reads_copy=self._reads_copy, checks=self._checks)

    async def _run(self, opened: OpenBatch) -> None:
        source = await self._opened_source(opened.ledger)
        receiver = source if isinstance(source, ReceiverSource) else None
        settings = self.settings
        journal = LedgerJournal(
            opened.ledger,
            lines=opened.lines,
            results=opened.results,
            errors=opened.errors,
            bare=settings.bare,
            defaults=settings.request_defaults,
            endpoint_of=receiver.endpoint_of if receiver else lambda submission: settings.webhook_endpoint,
            clock=self._clock,
        )
        client = AsyncPlatformClient(
            settings.url, api_key=self._api_key, target=settings.target, clock=self._clock
        )
        try:
            self._flow = flow = Flow(
                client, journal, source, options=self._options(opened), clock=self._clock
            )
            self._ledger = opened.ledger
            if isinstance(source, RelaySource):
                source.feed(flow)
            flow.restore(_left_open(opened.ledger), is_unwatched=receiver is not None)
            if receiver is not None:
                receiver.start(flow.take_pushed)
                await journal.remember(_RECEIVER, f"{receiver.port} {receiver.key}")
            if self._is_stopped:
                flow.stop()
            await flow.run()
            if self._withdraws:
                await _withdraw(flow, client, journal, self._clock)
        finally:
            await source.close()
            await journal.close()
            await client.close()

    def _options(self, opened: OpenBatch) -> FlowOptions:
        return FlowOptions(
            max_open=self.settings.max_open,
            attempts=self.settings.attempts,
            rate=self.settings.rate,
            wakes=self._wakes,
            is_known=opened.ledger.submissions > 0,
            patience=self._patience,
        )

    async def _opened_source(self, ledger: Ledger) -> ResultSource:
        if self.settings.relay is None:
            return await asyncio.to_thread(self._source, ledger)
        relay = RelaySource(self.settings.relay, key=self._relay_key, clock=self._clock)
        try:
            await relay.check()
        except ApiError:
            await relay.close()
            raise
        return relay

    def _source(self, ledger: Ledger) -> ResultSource:
        if self._outputs is not None:
            return StoreSource(self._outputs, since=ledger.begun_at or self._clock.now())
        if self.settings.store is not None:
            outputs = OutputStore.from_url(self.settings.store)
            return StoreSource(outputs, since=ledger.begun_at or self._clock.now())
        if self.settings.inbox is not None:
            return inbox_source(self.settings.inbox)
        port, _, key = str(ledger.value(_RECEIVER) or f"0 {ReceiverSource.new_key()}").partition(" ")
        return ReceiverSource(key=key, port=int(port), secrets=self._secrets)

    def _end(self, opened: OpenBatch) -> BatchEnd:
        progress = self.progress()
        is_over = progress.waiting == progress.open == 0
        opened.rewrite_errors()  # a late result may have mended a line
        if is_over:
            publish_outputs(opened)
        return BatchEnd(
            progress=progress,
            is_interrupted=not is_over,
            ledger=self.files.ledger,
            out=self.settings.out,
            errors=self.files.errors if progress.failed else None,
        )


def _left_open(ledger: Ledger) -> Iterator[OpenRequest]:
    for line in ledger.open_lines():
        if line.request_id is not None:
            yield OpenRequest(line.number, line.custom_id, line.submission, line.request_id, line.attempts)


async def _withdraw(flow: Flow, client: AsyncPlatformClient, journal: LedgerJournal, clock: Clock) -> None:
    """Cancel what is still queued; those lines wait again."""
    pace = Pace(limit=OLDER_CANCEL_CALLS_PER_SECOND * 0.8)
    for request in flow.open:
        while (wait := pace.reserve(clock.monotonic())) > 0:
            await clock.sleep(wait)
        try:
            answer = await client.cancel(request.request_id)
        except ApiError as error:
            pace.failed(clock.monotonic(), error.retry_after)
            continue
        if answer.canceled:
            await journal.put_back(request.number, request.age, ended="withdrawn")
