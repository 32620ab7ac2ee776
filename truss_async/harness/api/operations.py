"""Every call that is answered: the platform's, and the harness's own. A new one is a row here, and its handler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from ...contract import AsyncPredictAccepted, AsyncPredictRequest, AsyncRequestStatus, CancelAnswer, limits
from ...contract.faults import FaultRule, SetFault, SetFaults
from ...contract.harness_calls import (
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
from ...contract.statuses import QueueStatus, RequestStatus, WebhookStatus
from . import (
    async_calls,
    bulk_calls,
    inspection_calls,
    own_calls,
    redelivery_calls,
    sync_calls,
    websocket_calls,
)
from .calls import ANY, ANY_METHOD, REST, Operation
from .targets import CHAINLET, TARGETS, Kind

if TYPE_CHECKING:
    from .calls import ApiParts, IncomingCall, Schema

_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": own_calls.MAX_DELIVERIES}
_AFTER: Schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
_STATUS: Schema = {"type": "string", "enum": [each.value for each in RequestStatus]}
_FAILED: Schema = {"type": "string", "enum": [redelivery_calls.FAILED]}
_WEBHOOK_STATUS: Schema = {"type": "string", "enum": [each.value for each in WebhookStatus]}
_PRIORITY: Schema = {"type": "string", "enum": ["0", "1", "2"]}
MAX_OWN_BODY_BYTES = 1_000_000
_MODEL_FAILS = (404, 429, 502, 503, 504, 529)


async def _openapi(parts: ApiParts, call: IncomingCall) -> JSONResponse:
    """This document."""
    return JSONResponse(openapi_document())


ON_TARGET = (
    *(Operation("POST", f"/{kind.word}", sync_calls.predict, ANY, body=ANY, refusals=_MODEL_FAILS, words=kind) for kind in Kind),
    *(
        Operation(
            "POST", f"/async_{kind.word}", async_calls.submit, AsyncPredictAccepted, body=AsyncPredictRequest,
            status=201, refusals=(404, 429, 503), words=kind, max_body_bytes=limits.MAX_ASYNC_BODY_BYTES,
        )
        for kind in Kind
    ),
    Operation("GET", "/async_queue_status", async_calls.queue_status, QueueStatus, refusals=(404, 429)),
    Operation("POST", "/wake", sync_calls.wake, status=202, refusals=(404,)),
    Operation(
        ANY_METHOD, f"/sync/{REST}", sync_calls.route, ANY, body=ANY, refusals=_MODEL_FAILS, takes_websocket=True
    ),
    Operation(
        "GET", "/websocket", websocket_calls.without_handshake, status=101, refusals=(*_MODEL_FAILS, 426),
        takes_websocket=True,
    ),
)  # fmt: skip
"""What is asked of a deployment: before each path stands one of the targets."""

ON_REQUEST = (
    Operation("GET", "/async_request/{request_id}", async_calls.status, AsyncRequestStatus, refusals=(404, 429)),
    Operation("DELETE", "/async_request/{request_id}", async_calls.cancel, CancelAnswer, refusals=(404, 429)),
)  # fmt: skip
"""What is asked of an async request, whatever the deployment."""

_OWN = (
    Operation("GET", "/healthz", own_calls.health, Health, is_open=True),
    Operation("GET", "/metrics", own_calls.metrics, _TEXT, media_type="text/plain", refusals=(401,), is_open=True),
    Operation("GET", "/_harness/openapi.json", _openapi, _OBJECT),
    Operation(
        "GET", "/_harness/requests", inspection_calls.requests, RequestList, refusals=(400,),
        query={
            "status": _STATUS, "webhook_status": _WEBHOOK_STATUS, "priority": _PRIORITY, "deployment": _TEXT, "since": _TEXT,
            "id_prefix": _TEXT, "limit": _LIMIT, "after": _AFTER,
        },
    ),
    Operation("GET", "/_harness/requests/{request_id}/view", inspection_calls.view, RequestView, refusals=(400, 404)),
    Operation(
        "GET", "/_harness/logs", inspection_calls.log_lines, LogLines, refusals=(400,),
        query={"request_id": _TEXT, "limit": _LIMIT, "after": _AFTER},
    ),
    Operation("GET", "/_harness/queue", inspection_calls.queue, QueueState),
    Operation(
        "POST", "/_harness/dispatch", inspection_calls.dispatch, QueueState, body=Dispatch, max_body_bytes=MAX_OWN_BODY_BYTES
    ),
    Operation("POST", "/_harness/bulk", bulk_calls.bulk, BulkDone, body=BulkAction, max_body_bytes=MAX_OWN_BODY_BYTES),
    Operation(
        "GET", "/_harness/requests/{request_id}/submission", inspection_calls.submission, Submission, refusals=(400, 404)
    ),
    Operation(
        "POST", "/_harness/requests/{request_id}/again", inspection_calls.submit_again, AsyncPredictAccepted,
        status=201, refusals=(400, 404, 429, 503),
    ),
    Operation("GET", "/_harness/requests/{request_id}", own_calls.request_record, RequestRecord, refusals=(404,)),
    Operation(
        "GET", "/_harness/deliveries", own_calls.deliveries, DeliveryAttempts,
        query={"request_id": _TEXT, "limit": _LIMIT}, refusals=(400, 404),
    ),
    Operation(
        "GET", "/_harness/kept_results", redelivery_calls.kept_results, KeptResults, refusals=(400,),
        query={"delivery": _FAILED, "since": _TEXT, "limit": _LIMIT},
    ),
    Operation(
        "POST", "/_harness/requests/{request_id}/redeliver", redelivery_calls.redeliver, DeliveryAttemptRecord,
        body=RedeliveryTarget, refusals=(404,), max_body_bytes=MAX_OWN_BODY_BYTES,
    ),
    Operation("GET", "/_harness/clock", own_calls.clock, ClockReading),
    Operation(
        "POST", "/_harness/clock", own_calls.advance_clock, ClockReading, body=ClockAdvance, max_body_bytes=MAX_OWN_BODY_BYTES
    ),
    Operation("GET", "/_harness/secrets", own_calls.secrets, WebhookSecretList),
    Operation("POST", "/_harness/secrets", own_calls.create_secret, NewWebhookSecret, status=201),
    Operation(
        "POST", "/_harness/secrets/{secret_id}/rotate", own_calls.rotate_secret, NewWebhookSecret,
        status=201, refusals=(400, 404),
    ),
    Operation("DELETE", "/_harness/secrets/{secret_id}", own_calls.remove_secret, RemovedWebhookSecret, refusals=(404,)),
    Operation("GET", "/_harness/faults", own_calls.faults, SetFaults, is_sparse=True),
    Operation(
        "POST", "/_harness/faults", own_calls.add_fault, SetFault, body=FaultRule, status=201, is_sparse=True,
        max_body_bytes=MAX_OWN_BODY_BYTES,
    ),
    Operation("DELETE", "/_harness/faults", own_calls.clear_faults, SetFaults, is_sparse=True),
    Operation("DELETE", "/_harness/faults/{fault_id}", own_calls.remove_fault, SetFault, refusals=(400, 404), is_sparse=True),
)  # fmt: skip
OWN = tuple(replace(each, is_own=True) for each in _OWN)
"""What the platform does not offer. HEAD is answered as GET is."""


def every_path() -> Iterator[tuple[str, Operation]]:
    """Each operation, at each whole path that it is called at."""
    for target in TARGETS:
        for each in ON_TARGET:
            yield f"{target}{each.path}", each
    for each in ON_TARGET:
        if each.words is not Kind.MODEL:
            yield f"{CHAINLET}{each.path}", each
    for each in (*ON_REQUEST, *OWN):
        yield each.path, each


@cache
def openapi_document() -> dict[str, Any]:
    """All of this as OpenAPI tells it."""
    from .openapi import describe  # seldom asked for, and slow to make

    return describe(every_path())
