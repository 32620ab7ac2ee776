"""What a harness offers beyond the platform, for callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

from ..contract import AsyncPredictAccepted
from ..contract.faults import SetFault, SetFaults
from ..contract.harness_calls import (
    BulkAction,
    BulkDone,
    ClockAdvance,
    ClockReading,
    DeliveryAttemptRecord,
    DeliveryAttempts,
    Dispatch,
    Health,
    KeptResults,
    LogLines,
    NewWebhookSecret,
    QueueState,
    RedeliveryTarget,
    RemovedWebhookSecret,
    RequestList,
    RequestRecord,
    RequestView,
    Submission,
    WebhookSecretList,
)
from ..errors import ApiError
from .platform import PlatformClient

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..contract.faults import FaultRule
    from ..contract.harness_calls import KeptResult, WebhookSecretInfo


_CLOCK = "/_harness/clock"
_FAULTS = "/_harness/faults"
_QUEUE = "/_harness/queue"
FULL_ID_CHARACTERS: Final = 32
SHORTEST_PREFIX: Final = 6


class HarnessClient(PlatformClient):
    """A client of a harness; the platform answers 404 to what is added here."""

    def health(self) -> Health:
        """How the model is, and each deployment's."""
        return self._call("GET", "/healthz", Health)

    def request_record(self, request_id: str) -> RequestRecord:
        """Where a request stands, its times, its attempts, and the faults that struck it."""
        return self._call("GET", f"/_harness/requests/{_quoted(request_id)}", RequestRecord)

    def requests(
        self,
        *,
        status: str | None = None,
        webhook_status: str | None = None,
        priority: int | None = None,
        deployment: str | None = None,
        since: str | None = None,
        id_prefix: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> RequestList:
        """Requests, the latest first, and the counts of each status.

        ``since`` is so long ago (``30m``), or a moment; ``id_prefix`` is what ids begin with; ``after`` is the ``next`` of the page before.
        """
        asked = {
            "status": status,
            "webhook_status": webhook_status,
            "priority": priority,
            "deployment": deployment,
            "since": since,
            "id_prefix": id_prefix,
            "limit": limit,
            "after": after,
        }
        return self._call("GET", f"/_harness/requests{_query(asked)}", RequestList)

    def request_view(self, request_id: str) -> RequestView:
        """All that is known of a request, by its id or the first characters of it, six at least."""
        return self._call("GET", f"/_harness/requests/{_quoted(request_id)}/view", RequestView)

    def submission(self, request_id: str) -> Submission:
        """What a request was submitted with, its input too, as long as the harness keeps that in memory."""
        return self._call("GET", f"/_harness/requests/{_quoted(request_id)}/submission", Submission)

    def submit_again(self, request_id: str) -> str:
        """Submit a request again, as long as the harness keeps its input; return the id of the new one."""
        path = f"/_harness/requests/{_quoted(request_id)}/again"
        return self._call("POST", path, AsyncPredictAccepted).request_id

    def act_on_all(self, action: BulkAction) -> BulkDone:
        """Cancel all queued requests that a filter lets through, or submit all failed ones again; or count them.

        At most 10,000 in one call. What has begun meanwhile is not cancelled, and whose input is not kept is not submitted.
        """
        return self._call("POST", "/_harness/bulk", BulkDone, content=action.model_dump_json())

    def full_id(self, given: str) -> str:
        """The id of the one request whose id begins so; a whole id, and what is known here of none, stays as it is.

        Raises:
            ApiError: several begin so.
        """
        if len(given) < SHORTEST_PREFIX or len(given) >= FULL_ID_CHARACTERS:
            return given
        try:
            return self.request_view(given).request.request_id
        except ApiError as error:
            if error.status_code == 404:
                return given
            raise

    def log_lines(
        self, *, request_id: str | None = None, after: int | None = None, limit: int | None = None
    ) -> LogLines:
        """What replicas wrote, of a request or of all: the latest lines, or those after a number."""
        asked = {"request_id": request_id, "after": after, "limit": limit}
        return self._call("GET", f"/_harness/logs{_query(asked)}", LogLines)

    def queue(self) -> QueueState:
        """What waits and runs of each deployment, and whether inference attempts begin."""
        return self._call("GET", _QUEUE, QueueState)

    def pause_queue(self) -> QueueState:
        """Let no inference attempt begin; requests are accepted."""
        return self._dispatch(paused=True)

    def resume_queue(self) -> QueueState:
        """Let inference attempts begin again."""
        return self._dispatch(paused=False)

    def _dispatch(self, *, paused: bool) -> QueueState:
        content = Dispatch(paused=paused).model_dump_json()
        return self._call("POST", "/_harness/dispatch", QueueState, content=content)

    def read_clock(self) -> datetime:
        """What the harness's clock shows."""
        return self._call("GET", _CLOCK, ClockReading).now

    def advance_clock(self, seconds: float) -> datetime:
        """Move a virtual clock; return what it shows once all that fell due has happened."""
        content = ClockAdvance(advance_seconds=seconds).model_dump_json()
        return self._call("POST", _CLOCK, ClockReading, content=content).now

    def deliveries(self, request_id: str) -> list[DeliveryAttemptRecord]:
        """Every delivery attempt of a request, in their order."""
        path = f"/_harness/deliveries?request_id={_quoted(request_id)}"
        return self._call("GET", path, DeliveryAttempts).deliveries

    def kept_results(
        self, *, failed: bool = False, since: str | None = None, limit: int | None = None
    ) -> list[KeptResult]:
        """Results that ``serve --keep-results`` keeps, the latest first; ``failed``: those that could not be delivered."""
        asked = {"delivery": "failed" if failed else None, "since": since, "limit": limit}
        return self._call("GET", f"/_harness/kept_results{_query(asked)}", KeptResults).results

    def redeliver(self, request_id: str, *, to: str | None = None) -> DeliveryAttemptRecord:
        """Have a kept result sent again, once, to its webhook endpoint or to another URL; what came of it.

        Raises:
            ApiError: its result is not kept (404), or it cannot be sent there (400).
        """
        content = RedeliveryTarget(webhook_endpoint=to).model_dump_json()
        path = f"/_harness/requests/{_quoted(request_id)}/redeliver"
        return self._call("POST", path, DeliveryAttemptRecord, content=content)

    def webhook_secrets(self) -> list[WebhookSecretInfo]:
        """The active webhook secrets, masked, newest first."""
        return self._call("GET", "/_harness/secrets", WebhookSecretList).secrets

    def create_webhook_secret(self) -> NewWebhookSecret:
        """A new webhook secret, beside those that are active."""
        return self._call("POST", "/_harness/secrets", NewWebhookSecret)

    def rotate_webhook_secret(self, secret_id: str) -> NewWebhookSecret:
        """A new webhook secret; the old one ends 24 hours later."""
        return self._call("POST", f"/_harness/secrets/{_quoted(secret_id)}/rotate", NewWebhookSecret)

    def remove_webhook_secret(self, secret_id: str) -> None:
        """End a webhook secret at once."""
        self._call("DELETE", f"/_harness/secrets/{_quoted(secret_id)}", RemovedWebhookSecret)

    def faults(self) -> list[SetFault]:
        """The faults that are set, and how often each has struck."""
        return self._call("GET", _FAULTS, SetFaults).faults

    def add_fault(self, rule: FaultRule) -> SetFault:
        """Set a fault, after those that are set already."""
        return self._call("POST", _FAULTS, SetFault, content=rule.model_dump_json(exclude_none=True))

    def remove_fault(self, fault_id: int) -> None:
        """Let a fault strike no more."""
        self._call("DELETE", f"{_FAULTS}/{fault_id}", SetFault)

    def clear_faults(self) -> None:
        """Let no fault strike any more."""
        self._call("DELETE", _FAULTS, SetFaults)


def _query(asked: Mapping[str, object]) -> str:
    given = {name: value for name, value in asked.items() if value is not None}
    return f"?{urlencode(given, errors='replace')}" if given else ""


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="replace")
