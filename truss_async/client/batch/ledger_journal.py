"""The journal of a batch: its ledger, and the files that grow with it, one commit for what comes at a moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...printable import shortened
from .group_commits import GroupCommits
from .journal import NEVER_ANSWERED, Taken
from .ledger import MOST_UNANSWERED, Begun, Ended, Ledger
from .lines import BadLineError, parse_line, request_body
from .rows import error_row, result_row
from .verdicts import REFUSED, Failure

if TYPE_CHECKING:
    from ...clock import Clock
    from ...contract import AsyncPredictResult
    from .input_file import LineFile
    from .row_file import RowFile

_LONGEST_MESSAGE = 2000


class LedgerJournal:
    """``endpoint_of`` gives the webhook endpoint of a submission, None where the settings' own counts."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        lines: LineFile,
        results: RowFile,
        errors: RowFile,
        bare: bool,
        defaults: dict[str, Any],
        endpoint_of: Callable[[int], str | None],
        clock: Clock,
    ) -> None:
        self.ledger = ledger
        self._lines, self._results, self._errors = lines, results, errors
        self._bare, self._defaults, self._endpoint_of = bare, defaults, endpoint_of
        self._clock = clock
        self._commits = GroupCommits(ledger.connection, files=[results, errors])

    @property
    def waiting(self) -> int:
        return self.ledger.waiting_now

    async def take(self) -> Taken | None:
        return await self._commits.run(self._take)

    async def accepted(self, taken: Taken, request_id: str) -> bool:
        return await self._commits.run(
            lambda: self.ledger.accepted(taken.number, taken.submission, request_id)
        )

    async def put_back(self, number: int, submission: int, *, ended: Ended) -> None:
        await self._commits.run(lambda: self._put_back(number, submission, ended))

    async def failed(self, number: int, submission: int, failure: Failure) -> None:
        await self._commits.run(lambda: self._fail(number, submission, failure))

    async def done(self, number: int, result: AsyncPredictResult) -> None:
        await self._commits.run(lambda: self._done(number, result))

    async def find(self, request_id: str, *, submission: int) -> int | None:
        return await self._commits.run(lambda: self.ledger.line_of(request_id, submission=submission))

    async def remember(self, name: str, value: Any) -> None:
        """Store a value of the batch."""
        await self._commits.run(lambda: self.ledger.set_value(name, value))

    async def close(self) -> None:
        """Store what waits to be, and close the files."""
        await self._commits.close()
        self._results.close()
        self._errors.close()

    def _take(self) -> Taken | None:
        while (begun := self.ledger.begin(at=self._clock.now().timestamp())) is not None:
            try:
                body = self._body(begun)
            except BadLineError as error:
                self._fail(begun.place.number, begun.submission, Failure(REFUSED, str(error)))
                continue
            return Taken(begun.place.number, begun.custom_id, begun.submission, begun.attempts, body)
        return None

    def _body(self, begun: Begun) -> bytes:
        line = parse_line(self._lines.read(begun.place), number=begun.place.number, bare=self._bare)
        endpoint = self._endpoint_of(begun.submission)
        return request_body(line, defaults=self._defaults, webhook_endpoint=endpoint)

    def _put_back(self, number: int, submission: int, ended: Ended) -> None:
        if ended == "unanswered" and self.ledger.unanswered_of(number) + 1 >= MOST_UNANSWERED:
            self._fail(number, submission, NEVER_ANSWERED)
        else:
            self.ledger.put_back(number, submission, ended=ended)

    def _fail(self, number: int, submission: int, failure: Failure) -> None:
        message = shortened(failure.message, limit=_LONGEST_MESSAGE)
        if self.ledger.failed(number, submission, code=failure.code, message=message):
            custom_id, request_id = self.ledger.names_of(number)
            self._errors.append(error_row(custom_id, request_id, code=failure.code, message=message))

    def _done(self, number: int, result: AsyncPredictResult) -> None:
        if self.ledger.state(number) == "done":
            return
        row = result_row(self.ledger.names_of(number)[0], result)
        start = self._results.append(row)
        self.ledger.done(number, request_id=result.request_id, start=start, length=len(row))
