"""Submit, status, cancel, queue status: the calls that only meet the queue."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from ...contract import AsyncPredictAccepted, CancelAnswer
from ...contract.limits import MAX_ASYNC_BODY_BYTES, STATUS_KEPT_SECONDS
from ..request_queue import AcceptedRequest, NewRequest
from .bodies import parse_async_request, read_body
from .rate_limits import OpenRequests, RateLimiter
from .refusals import no_such_request

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Any

    from pydantic import BaseModel
    from starlette.requests import Request

    from ...clock import Clock
    from ...contract import AsyncRequestStatus
    from ..deployment import Deployment
    from ..faults import Faults
    from ..request_queue import RequestQueue, RequestRecord
    from ..settings import CallLimits

STATUS_KEPT = timedelta(seconds=STATUS_KEPT_SECONDS)


class AsyncCalls:
    """Answers the asynchronous calls of all deployments; the limits on them are the organisation's."""

    def __init__(
        self,
        *,
        queue: RequestQueue,
        limits: CallLimits,
        clock: Clock,
        on_expiry: Callable[[datetime], None],
        faults: Faults,
    ) -> None:
        self._queue = queue
        self._clock = clock
        self._on_expiry = on_expiry
        self._faults = faults
        self._submits = RateLimiter("async calls", limits.async_calls_per_minute, seconds=60, clock=clock)
        self._asked = RateLimiter("status calls", limits.status_calls_per_second, seconds=1, clock=clock)
        self._cancels = RateLimiter("cancel calls", limits.cancel_calls_per_second, seconds=1, clock=clock)
        self._open_requests = OpenRequests(limits.max_open_requests, count=self._count_open)

    async def submit(self, request: Request, deployment: Deployment, request_id: str) -> Response:
        """201 once the request is durable; it goes by the id of the call that brought it."""
        self._submits.check()
        body = await read_body(request, limit=MAX_ASYNC_BODY_BYTES)
        asked, model_input = parse_async_request(body)
        now = self._clock.now()
        new = NewRequest(
            request_id=request_id,
            deployment_id=deployment.id,
            accepted=AcceptedRequest.of(
                asked, model_id=deployment.settings.model_id, chain_id=deployment.settings.chain_id
            ),
            model_input=model_input,
            priority=asked.priority,
            created_at=now,
            expires_at=now + timedelta(seconds=asked.max_time_in_queue_seconds),
        )
        async with self._open_requests.place_for_one():
            await self._queue.enqueue(new)
        deployment.note_queued()
        self._on_expiry(new.expires_at)
        return _json(AsyncPredictAccepted(request_id=new.request_id), status_code=201)

    async def status(self, request_id: str) -> Response:
        """Where the request stands; 404 an hour after it was over."""
        self._asked.check()
        return JSONResponse(_told((await self.known(request_id)).status))

    async def cancel(self, request_id: str) -> Response:
        """Withdraw it, if it is still queued."""
        self._cancels.check()
        if await self._queue.cancel(request_id, now=self._clock.now()):
            return _json(
                CancelAnswer(request_id=request_id, canceled=True, message="The request was canceled.")
            )
        status = (await self.known(request_id)).status.status.value
        message = f"The request is {status}; only QUEUED requests can be canceled."
        return _json(CancelAnswer(request_id=request_id, canceled=False, message=message))

    async def queue_status(self, deployment: Deployment) -> Response:
        """How many requests wait, and how many are being worked on."""
        counts = await self._queue.counts(deployment.id)
        return JSONResponse(
            {
                "model_id": deployment.settings.model_id,
                "deployment_id": deployment.id,
                "num_queued_requests": counts.queued,
                "num_in_progress_requests": counts.in_progress,
            }
        )

    async def request_record(self, request_id: str) -> Response:
        """The harness's own view of a request: its times, attempts, deliveries, and the faults that struck it."""
        record = await self.known(request_id)
        return JSONResponse(
            {
                **_told(record.status),
                "priority": record.priority,
                "inference_attempts": record.attempts,
                "started_at": _iso(record.started_at),
                "finished_at": _iso(record.finished_at),
                "deliveries": [
                    {
                        "sent_at": _iso(sent.sent_at),
                        "latency_ms": sent.latency_ms,
                        "status_code": sent.status_code,
                        "error": sent.error,
                    }
                    for sent in record.deliveries
                ],
                "faults": [strike.model_dump(mode="json") for strike in self._faults.strikes(request_id)],
            }
        )

    async def _count_open(self) -> int:
        return sum((await self._queue.open_by_deployment()).values())

    async def known(self, request_id: str) -> RequestRecord:
        """What is known of a request.

        Raises:
            CallRefusedError: 404, when it is none, or is over for an hour.
        """
        record = await self._queue.record(request_id)
        if record is None or (
            record.over_at is not None and record.over_at + STATUS_KEPT <= self._clock.now()
        ):
            raise no_such_request(request_id)
        return record


def _told(status: AsyncRequestStatus) -> dict[str, Any]:
    """The status, with the id of what is served: a model's or a chain's."""
    return status.model_dump(mode="json", exclude={"chain_id" if status.chain_id is None else "model_id"})


def _json(model: BaseModel, *, status_code: int = 200) -> Response:
    return Response(model.model_dump_json(), status_code=status_code, media_type="application/json")


def _iso(moment: datetime | None) -> Any:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")
