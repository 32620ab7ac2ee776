"""The log of a harness: one line for each call, each request that is over, each line of a replica and each word of its own."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING

from ...contract import WebhookStatus
from ...printable import printable
from ...replicas.logs import MAX_LINE_BYTES, render_log_line, short_id

if TYPE_CHECKING:
    from ...clock import Clock
    from ...replicas.logs import ReplicaLogLine
    from ..request_queue import EndedRequest
    from ..settings import LogFormat


@dataclass(frozen=True, slots=True)
class AnsweredCall:
    """A sync call, or one of a route, that was answered; of a websocket, how it was closed, and the bytes of its messages."""

    request_id: str
    deployment_id: str
    method: str
    path: str
    status: int
    seconds: float
    size_bytes: int
    close_code: int | None = None


class HarnessLog:
    """Makes the lines; ``report`` gets what a person should know, and ``log`` all else, in text or as JSON.

    ``short_ids`` is for a terminal: the first characters of an id, which every command takes for the whole.
    """

    def __init__(
        self,
        *,
        report: Callable[[str], None],
        log: Callable[[str], None],
        clock: Clock,
        format: LogFormat = "text",
        short_ids: bool = False,
    ) -> None:
        self._report = report
        self._sink = log
        self._clock = clock
        self._is_json = format == "json"
        self._id = short_id if short_ids else str

    def say(self, text: str) -> None:
        """A word of the harness's own."""
        if self._is_json:
            self._report(self._json("harness", message=text))
        else:
            self._report(printable(text))

    def replica(self, line: ReplicaLogLine) -> None:
        """A line that a replica wrote."""
        if self._is_json:
            facts = {"replica": line.replica, "level": line.level, "message": line.message}
            self._log(self._json("line", request_id=line.request_id, **facts))
        else:
            text = render_log_line(line, now=self._clock.now(), as_id=self._id)
            self._log(printable(text, limit=MAX_LINE_BYTES))

    def call(self, call: AnsweredCall) -> None:
        """A call was answered."""
        closed = {} if call.close_code is None else {"close_code": call.close_code}
        if self._is_json:
            self._log(
                self._json(
                    "call",
                    request_id=call.request_id,
                    status=call.status,
                    queue_seconds=None,
                    model_seconds=round(call.seconds, 6),
                    webhook_status=None,
                    deployment_id=call.deployment_id,
                    method=call.method,
                    path=call.path,
                    size_bytes=call.size_bytes,
                    **closed,
                )
            )
            return
        what = f"{call.method} {printable(call.path, limit=200)} answered {call.status}"
        if call.close_code is not None:
            what += f", closed {call.close_code}"
        self._log(
            f"{_time(self._clock.now())} call [{self._id(call.request_id)}] {what}"
            f" in {call.seconds:.3f} s, {call.size_bytes} bytes"
        )

    def request_over(self, ended: EndedRequest) -> None:
        """Nothing more will happen to a request."""
        queued, ran = ended.queue_seconds, ended.model_seconds
        if self._is_json:
            self._log(
                self._json(
                    "request",
                    request_id=ended.request_id,
                    status=ended.status,
                    queue_seconds=queued,
                    model_seconds=ran,
                    webhook_status=ended.webhook_status,
                    deployment_id=ended.deployment_id,
                    size_bytes=ended.size_bytes,
                    error_code=ended.error_code,
                )
            )
            return
        code = "" if ended.error_code is None else f" ({ended.error_code})"
        in_model = "" if ran is None else f", {ran:.3f} s in the model"
        size = "" if ended.size_bytes is None else f", {ended.size_bytes} bytes"
        has_webhook = ended.webhook_status != WebhookStatus.NO_WEBHOOK_PROVIDED
        webhook = f", webhook {ended.webhook_status}" if has_webhook else ""
        self._log(
            f"{_time(self._clock.now())} request [{self._id(ended.request_id)}] {ended.status}{code}: "
            f"{queued:.3f} s in the queue{in_model}{size}{webhook}"
        )

    def _log(self, line: str) -> None:
        # Whoever read the log may have gone (a closed pipe); the requests go on.
        with contextlib.suppress(OSError):
            self._sink(line)

    def _json(self, event: str, **facts: object) -> str:
        return json.dumps({"event": event, "time": self._clock.now().isoformat(), **facts})


def _time(now: datetime) -> str:
    return _time_of_second(int(now.timestamp()))


@lru_cache(maxsize=4)
def _time_of_second(second: int) -> str:
    """Made once for all lines of a second, for it takes longer than the rest of a line."""
    return datetime.fromtimestamp(second, tz=timezone.utc).astimezone().strftime("%H:%M:%S")
