"""The harness's own calls, under ``/_harness/``: what the platform does not offer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from ...contract.harness_calls import DeliveryAttemptRecord, DeliveryAttempts
from .refusals import bad_request, no_such_model
from .routing import wrong_method

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel
    from starlette.requests import Request

    from ..request_queue import RecordedDelivery, RequestQueue, RequestRecord

DEFAULT_DELIVERIES = 100
MAX_DELIVERIES = 1000


class OwnCalls:
    """Shows and changes what only a harness has."""

    def __init__(self, *, queue: RequestQueue, known: Callable[[str], Awaitable[RequestRecord]]) -> None:
        """``known`` is what is known of a request, and refuses ids that are unknown."""
        self._queue = queue
        self._known = known

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """Answer one call.

        Raises:
            CallRefusedError: there is no such path, or not with this method, or what it was given is wrong.
        """
        method = "GET" if request.method == "HEAD" else request.method
        match (method, *path):
            case ("GET", "deliveries"):
                return _json(await self._deliveries(request))
            case (_, "deliveries"):
                raise wrong_method(method, "GET")
            case _:
                raise no_such_model(f"there is no path {request.url.path}")

    async def _deliveries(self, request: Request) -> DeliveryAttempts:
        request_id = request.query_params.get("request_id")
        if request_id is None:
            recorded = await self._queue.latest_deliveries(limit=_limit(request))
        else:
            await self._known(request_id)
            recorded = await self._queue.deliveries(request_id)
        return DeliveryAttempts(deliveries=[_delivery(item) for item in recorded])


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(DEFAULT_DELIVERIES))
    if text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_DELIVERIES:
        return int(text[:9])
    raise bad_request(f"limit: give a number from 1 to {MAX_DELIVERIES}")


def _delivery(recorded: RecordedDelivery) -> DeliveryAttemptRecord:
    attempt = recorded.attempt
    return DeliveryAttemptRecord(
        request_id=recorded.request_id,
        attempt=recorded.number,
        webhook_endpoint=recorded.webhook_endpoint,
        sent_at=attempt.sent_at,
        latency_ms=attempt.latency_ms,
        status_code=attempt.status_code,
        error=attempt.error,
    )


def _json(model: BaseModel, *, status_code: int = 200) -> Response:
    return Response(model.model_dump_json(), status_code=status_code, media_type="application/json")
