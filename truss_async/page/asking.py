"""The harness's own calls as pages make them: inside the process, typed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from pydantic import BaseModel

from ..contract import AsyncPredictAccepted, CancelAnswer
from ..contract.faults import SetFault, SetFaults
from ..contract.harness_calls import (
    BulkAction,
    BulkDone,
    ClockReading,
    DeliveryAttemptRecord,
    DeliveryAttempts,
    Health,
    KeptResults,
    LogLines,
    NewWebhookSecret,
    QueueState,
    RequestList,
    RequestView,
    Submission,
    WebhookSecretList,
)
from ..errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

Answer = TypeVar("Answer", bound=BaseModel)


class Ask(Protocol):
    """Makes a call of the harness's API and returns its answer: JSON parsed, all else as text.

    Raises:
        ApiError: it is refused.
    """

    async def __call__(self, method: str, path: str, body: Any = None, *, query: str = "") -> Any: ...


class HarnessCalls:
    """What pages ask of the harness, and have it do. Every call raises ApiError when it is refused."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def health(self) -> Health:
        """How its models and its queue are."""
        return await self._call(Health, "GET", "/healthz")

    async def metrics(self) -> str:
        """Its metrics, as Prometheus reads them."""
        return str(await self._ask("GET", "/metrics"))

    async def queue(self) -> QueueState:
        """What waits and runs of each deployment."""
        return await self._call(QueueState, "GET", "/_harness/queue")

    async def latest_line(self) -> int:
        """The number of the latest line that a replica wrote."""
        return (await self._call(LogLines, "GET", "/_harness/logs", query="limit=1")).next

    async def clock(self) -> ClockReading:
        """What its clock shows."""
        return await self._call(ClockReading, "GET", "/_harness/clock")

    async def requests(self, asked: Mapping[str, str]) -> RequestList:
        """A page of requests, and the counts of each status."""
        return await self._call(RequestList, "GET", "/_harness/requests", query=urlencode(asked))

    async def view(self, request_id: str) -> RequestView:
        """All that is known of a request."""
        return await self._call(RequestView, "GET", f"/_harness/requests/{quote(request_id, safe='')}/view")

    async def deliveries(self, *, limit: int) -> DeliveryAttempts:
        """The latest delivery attempts."""
        return await self._call(DeliveryAttempts, "GET", "/_harness/deliveries", query=f"limit={limit}")

    async def faults(self) -> SetFaults:
        """The faults that are set."""
        return await self._call(SetFaults, "GET", "/_harness/faults")

    async def secrets(self) -> WebhookSecretList:
        """The active webhook secrets, masked."""
        return await self._call(WebhookSecretList, "GET", "/_harness/secrets")

    async def dispatch(self, *, paused: bool) -> QueueState:
        """Pause the queue, or let it go on."""
        return await self._call(QueueState, "POST", "/_harness/dispatch", {"paused": paused})

    async def wake(self, path: str) -> None:
        """Start a replica of the deployment that is called at this path."""
        await self._ask("POST", f"{path}/wake")

    async def advance(self, seconds: float) -> ClockReading:
        """Move the virtual clock."""
        return await self._call(ClockReading, "POST", "/_harness/clock", {"advance_seconds": seconds})

    async def cancel(self, request_id: str) -> CancelAnswer:
        """Withdraw a request that is still queued."""
        return await self._call(CancelAnswer, "DELETE", f"/async_request/{quote(request_id, safe='')}")

    async def submission(self, request_id: str) -> Submission | None:
        """What a request was submitted with; None when that is not kept."""
        path = f"/_harness/requests/{quote(request_id, safe='')}/submission"
        try:
            return await self._call(Submission, "GET", path)
        except ApiError as error:
            if error.status_code == 404:
                return None
            raise

    async def submit_again(self, request_id: str) -> AsyncPredictAccepted:
        """Submit a request again, as a new one."""
        path = f"/_harness/requests/{quote(request_id, safe='')}/again"
        return await self._call(AsyncPredictAccepted, "POST", path)

    async def act_on_all(self, action: BulkAction) -> BulkDone:
        """Cancel, or submit again, all that a filter lets through; or count them."""
        return await self._call(BulkDone, "POST", "/_harness/bulk", action.model_dump(mode="json"))

    async def failed_results(self, *, limit: int, since: str | None = None) -> KeptResults:
        """The latest results that are kept and were not delivered, of requests that were over since."""
        asked = {"delivery": "failed", "limit": str(limit), **({"since": since} if since else {})}
        query = urlencode(asked)
        return await self._call(KeptResults, "GET", "/_harness/kept_results", query=query)

    async def redeliver(self, request_id: str) -> DeliveryAttemptRecord:
        """Send a kept result again."""
        path = f"/_harness/requests/{quote(request_id, safe='')}/redeliver"
        return await self._call(DeliveryAttemptRecord, "POST", path)

    async def add_fault(self, rule: Mapping[str, Any]) -> SetFault:
        """Set a fault."""
        return await self._call(SetFault, "POST", "/_harness/faults", dict(rule))

    async def remove_fault(self, fault_id: str) -> SetFault:
        """Take back a fault."""
        return await self._call(SetFault, "DELETE", f"/_harness/faults/{quote(fault_id, safe='')}")

    async def clear_faults(self) -> None:
        """Set no fault any more."""
        await self._ask("DELETE", "/_harness/faults")

    async def create_secret(self) -> NewWebhookSecret:
        """A new webhook secret, in full."""
        return await self._call(NewWebhookSecret, "POST", "/_harness/secrets")

    async def rotate_secret(self, secret_id: str) -> NewWebhookSecret:
        """A new webhook secret in place of one, which signs for 24 hours more."""
        path = f"/_harness/secrets/{quote(secret_id, safe='')}/rotate"
        return await self._call(NewWebhookSecret, "POST", path)

    async def remove_secret(self, secret_id: str) -> None:
        """End a webhook secret at once."""
        await self._ask("DELETE", f"/_harness/secrets/{quote(secret_id, safe='')}")

    async def _call(
        self, answer: type[Answer], method: str, path: str, body: Any = None, *, query: str = ""
    ) -> Answer:
        return answer.model_validate(await self._ask(method, path, body, query=query))
