"""The harness's own calls, under ``/_harness/``: what the platform does not offer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from ...clock import ManualClock
from ...contract.faults import SetFaults
from ...contract.harness_calls import (
    ClockAdvance,
    ClockReading,
    DeliveryAttemptRecord,
    DeliveryAttempts,
    NewWebhookSecret,
    RemovedWebhookSecret,
    WebhookSecretInfo,
    WebhookSecretList,
)
from ...errors import SettingsError
from ..faults import UnknownFaultError, parse_rule
from ..webhook_secrets import SecretRotatedError, UnknownSecretError
from .bodies import parse, parse_object, read_body
from .refusals import ApiErrorCode, CallRefusedError, bad_request, no_such_model
from .routing import wrong_method

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pydantic import BaseModel
    from starlette.requests import Request

    from ...clock import Clock
    from ...contract.faults import SetFault
    from ..faults import Faults
    from ..request_queue import RecordedDelivery, RequestQueue, RequestRecord
    from ..webhook_secrets import WebhookSecret, WebhookSecrets

DEFAULT_DELIVERIES = 100
MAX_DELIVERIES = 1000
MAX_OWN_BODY_BYTES = 1_000_000


class OwnCalls:
    """Shows and changes what only a harness has."""

    def __init__(
        self,
        *,
        queue: RequestQueue,
        known: Callable[[str], Awaitable[RequestRecord]],
        secrets: WebhookSecrets,
        faults: Faults,
        clock: Clock,
    ) -> None:
        """``known`` is what is known of a request, and refuses ids that are unknown."""
        self._queue = queue
        self._known = known
        self._secrets = secrets
        self._faults = faults
        self._clock = clock

    async def answer(self, request: Request, path: tuple[str, ...]) -> Response:
        """Answer one call.

        Raises:
            CallRefusedError: there is no such path, or not with this method, or what it was given is wrong.
        """
        method = "GET" if request.method == "HEAD" else request.method
        match (method, *path):
            case ("GET", "openapi.json"):
                return _document()
            case (_, "openapi.json"):
                raise wrong_method(method, "GET")
            case ("GET", "deliveries"):
                return _json(await self._deliveries(request))
            case (_, "deliveries"):
                raise wrong_method(method, "GET")
            case ("GET", "clock"):
                return _json(ClockReading(now=self._clock.now()))
            case ("POST", "clock"):
                return _json(await self._advance(request))
            case (_, "clock"):
                raise wrong_method(method, "GET", "POST")
            case ("GET", "secrets"):
                return _json(
                    WebhookSecretList(secrets=[self._shown(item) for item in self._secrets.active()])
                )
            case ("POST", "secrets"):
                return _json(_in_full(self._secrets.create()), status_code=201)
            case (_, "secrets"):
                raise wrong_method(method, "GET", "POST")
            case ("POST", "secrets", secret_id, "rotate"):
                return _json(self._rotate(secret_id), status_code=201)
            case (_, "secrets", _, "rotate"):
                raise wrong_method(method, "POST")
            case ("DELETE", "secrets", secret_id):
                return _json(self._remove(secret_id))
            case (_, "secrets", _):
                raise wrong_method(method, "DELETE")
            case ("GET", "faults"):
                return _json(SetFaults(faults=self._faults.all()), is_sparse=True)
            case ("POST", "faults"):
                return _json(await self._add_fault(request), status_code=201, is_sparse=True)
            case ("DELETE", "faults"):
                return _json(SetFaults(faults=self._faults.clear()), is_sparse=True)
            case (_, "faults"):
                raise wrong_method(method, "GET", "POST", "DELETE")
            case ("DELETE", "faults", fault_id):
                return _json(self._remove_fault(fault_id), is_sparse=True)
            case (_, "faults", _):
                raise wrong_method(method, "DELETE")
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

    async def _advance(self, request: Request) -> ClockReading:
        asked = parse(ClockAdvance, await read_body(request, limit=MAX_OWN_BODY_BYTES))
        if not isinstance(self._clock, ManualClock):
            raise bad_request(
                "the harness runs in real time; start it with --virtual-clock to move its clock"
            )
        # In a thread: it waits for what this event loop then does.
        now = await asyncio.to_thread(
            self._clock.advance, asked.advance_seconds, patience_seconds=asked.patience_seconds
        )
        return ClockReading(now=now)

    def _rotate(self, secret_id: str) -> NewWebhookSecret:
        try:
            created, ending = self._secrets.rotate(secret_id)
        except UnknownSecretError as error:
            raise CallRefusedError(404, ApiErrorCode.CLIENT_ERROR, str(error)) from None
        except SecretRotatedError as error:
            raise bad_request(str(error)) from None
        return _in_full(created, replaces=self._shown(ending))

    def _remove(self, secret_id: str) -> RemovedWebhookSecret:
        try:
            self._secrets.remove(secret_id)
        except UnknownSecretError as error:
            raise CallRefusedError(404, ApiErrorCode.CLIENT_ERROR, str(error)) from None
        return RemovedWebhookSecret(id=secret_id)

    async def _add_fault(self, request: Request) -> SetFault:
        values = parse_object(await read_body(request, limit=MAX_OWN_BODY_BYTES))
        try:
            return self._faults.add(parse_rule(values))
        except SettingsError as error:
            raise bad_request(str(error)) from None

    def _remove_fault(self, fault_id: str) -> SetFault:
        try:
            return self._faults.remove(int(fault_id) if fault_id.isdecimal() and len(fault_id) < 10 else 0)
        except UnknownFaultError:
            raise CallRefusedError(
                404,
                ApiErrorCode.CLIENT_ERROR,
                f"there is no fault {fault_id}; GET /_harness/faults lists them",
            ) from None

    def _shown(self, secret: WebhookSecret) -> WebhookSecretInfo:
        return WebhookSecretInfo(
            id=secret.id,
            masked=secret.masked,
            created_at=secret.created_at,
            ends_at=secret.ends_at,
            is_persisted=self._secrets.is_persisted(secret),
        )


def _document() -> Response:
    from .openapi import openapi_document  # seldom asked for, and slow to make

    return JSONResponse(openapi_document())


def _in_full(created: WebhookSecret, *, replaces: WebhookSecretInfo | None = None) -> NewWebhookSecret:
    return NewWebhookSecret(
        id=created.id, secret=created.secret, created_at=created.created_at, replaces=replaces
    )


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


def _json(model: BaseModel, *, status_code: int = 200, is_sparse: bool = False) -> Response:
    """``is_sparse`` leaves out what is None."""
    content = model.model_dump_json(exclude_none=is_sparse)
    return Response(content, status_code=status_code, media_type="application/json")
