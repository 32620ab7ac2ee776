"""What the harness answers, as an OpenAPI document: the platform's calls, and its own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from ...contract import (
    AsyncPredictAccepted,
    AsyncPredictRequest,
    AsyncPredictResult,
    AsyncRequestStatus,
    CancelAnswer,
)
from ...contract.faults import FaultRule, SetFault, SetFaults
from ...contract.harness_calls import (
    ClockAdvance,
    ClockReading,
    DeliveryAttempts,
    NewWebhookSecret,
    RemovedWebhookSecret,
    WebhookSecretList,
)
from ...contract.headers import REQUEST_ID, SIGNATURE, WEBHOOK_REQUEST_ID
from .refusals import ApiErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import BaseModel

    Schema = Mapping[str, Any]
    Content = type[BaseModel] | Schema

ANY: Schema = {}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}

REFUSAL: Schema = {
    "type": "object",
    "properties": {"error": TEXT, "error_code": {"enum": [code.value for code in ApiErrorCode]}},
    "required": ["error", "error_code"],
}
QUEUE_STATUS: Schema = {
    "type": "object",
    "properties": {
        "model_id": TEXT,
        "deployment_id": TEXT,
        "num_queued_requests": COUNT,
        "num_in_progress_requests": COUNT,
    },
    "required": ["model_id", "deployment_id", "num_queued_requests", "num_in_progress_requests"],
}
HEALTH: Schema = {"type": "object", "required": ["status", "model", "replicas_ready"]}
REQUEST_RECORD: Schema = {
    "type": "object",
    "required": ["request_id", "status", "inference_attempts", "deliveries"],
}

_REFERENCE = "#/components/schemas/{model}"
_REFUSED = "#/components/responses/Refused{status}"
_TARGETS = ("/production", "/development", "/environments/{environment}", "/deployment/{deployment_id}", "")
_ROUTE_METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
_SYNC_REFUSALS = (400, 401, 404, 413, 429, 502, 503, 504)
_ASYNC_REFUSALS = (400, 401, 404, 413, 429, 503)
_LOOKUP_REFUSALS = (401, 404, 429)

_MEANINGS = {
    400: "The body or a parameter is not what it should be.",
    401: "The API key is missing or wrong.",
    404: "The host, the path or the id names nothing that is known here.",
    413: "The body is larger than the limit; the message tells both sizes.",
    429: "Over a limit.",
    502: "The model server cannot be reached.",
    503: "The model does not load, or the harness cannot take requests.",
    504: "The model took too long.",
}


@dataclass(frozen=True)
class _Described:
    """One operation. ``answer`` is the content of a success, None for an empty one."""

    method: str
    path: str
    summary: str
    status: int | str = 200
    answer: Content | None = None
    refusals: Iterable[int] = ()
    body: Content | None = None
    query: Mapping[str, Schema] = field(default_factory=dict)
    content_type: str = "application/json"
    is_open: bool = False


def _on_a_target(target: str) -> list[_Described]:
    predicting = [
        _Described(
            "post",
            f"{target}/{word}",
            "Call it and wait for the output.",
            "default",
            ANY,
            _SYNC_REFUSALS,
            ANY,
        )
        for word in ("predict", "run_remote")
    ]
    queueing = [
        _Described(
            "post",
            f"{target}/{word}",
            "Queue an async request.",
            201,
            AsyncPredictAccepted,
            _ASYNC_REFUSALS,
            AsyncPredictRequest,
        )
        for word in ("async_predict", "async_run_remote")
    ]
    routes = [
        _Described(
            method,
            f"{target}/sync/{{route}}",
            "Call a route of the model server's own.",
            "default",
            ANY,
            _SYNC_REFUSALS,
            ANY if method in ("post", "put", "patch") else None,
        )
        for method in _ROUTE_METHODS
    ]
    return [
        *predicting,
        *queueing,
        _Described(
            "get",
            f"{target}/async_queue_status",
            "How many async requests wait and run.",
            200,
            QUEUE_STATUS,
            _LOOKUP_REFUSALS,
        ),
        _Described("post", f"{target}/wake", "Start a replica.", 202, None, (401, 404)),
        *routes,
    ]


_PLATFORM = [
    *(described for target in _TARGETS for described in _on_a_target(target)),
    _Described(
        "get",
        "/async_request/{request_id}",
        "Where an async request stands.",
        200,
        AsyncRequestStatus,
        _LOOKUP_REFUSALS,
    ),
    _Described(
        "delete",
        "/async_request/{request_id}",
        "Withdraw an async request that is still queued.",
        200,
        CancelAnswer,
        _LOOKUP_REFUSALS,
    ),
]
_OWN = [
    _Described("get", "/healthz", "Whether it answers, and what of the model.", 200, HEALTH, is_open=True),
    _Described(
        "get",
        "/metrics",
        "The platform's metrics.",
        200,
        TEXT,
        content_type="text/plain",
        is_open=True,
    ),
    _Described("get", "/_harness/openapi.json", "This document.", 200, {"type": "object"}, (401,)),
    _Described(
        "get",
        "/_harness/requests/{request_id}",
        "Times, attempts and deliveries of a request.",
        200,
        REQUEST_RECORD,
        (401, 404),
    ),
    _Described(
        "get",
        "/_harness/deliveries",
        "Delivery attempts: of a request, or the latest of all.",
        200,
        DeliveryAttempts,
        (400, 401, 404),
        query={"request_id": TEXT, "limit": {"type": "integer", "minimum": 1, "maximum": 1000}},
    ),
    _Described("get", "/_harness/clock", "What the clock shows.", 200, ClockReading, (401,)),
    _Described(
        "post", "/_harness/clock", "Move the virtual clock.", 200, ClockReading, (400, 401, 413), ClockAdvance
    ),
    _Described(
        "get", "/_harness/secrets", "The active webhook secrets, masked.", 200, WebhookSecretList, (401,)
    ),
    _Described("post", "/_harness/secrets", "Create a webhook secret.", 201, NewWebhookSecret, (401,)),
    _Described(
        "post",
        "/_harness/secrets/{secret_id}/rotate",
        "Replace a webhook secret, which signs for 24 hours more.",
        201,
        NewWebhookSecret,
        (400, 401, 404),
    ),
    _Described(
        "delete",
        "/_harness/secrets/{secret_id}",
        "End a webhook secret at once.",
        200,
        RemovedWebhookSecret,
        (401, 404),
    ),
    _Described("get", "/_harness/faults", "The faults that are set.", 200, SetFaults, (401,)),
    _Described("post", "/_harness/faults", "Set a fault.", 201, SetFault, (400, 401, 413), FaultRule),
    _Described("delete", "/_harness/faults", "Set no fault any more.", 200, SetFaults, (401,)),
    _Described("delete", "/_harness/faults/{fault_id}", "Take back a fault.", 200, SetFault, (400, 401, 404)),
]


@cache
def openapi_document() -> dict[str, Any]:
    """The document, as it is sent."""
    paths: dict[str, dict[str, Any]] = {}
    for described in (*_PLATFORM, *_OWN):
        paths.setdefault(described.path, {})[described.method] = _operation(described)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "truss-async harness",
            "version": version("truss-async"),
            "description": "The platform's async inference, on this machine. What is served may also be named by the "
            "host model-{id}.… or chain-{id}.…, or by the path prefix /model/{id} or /chain/{id}.",
        },
        "paths": paths,
        "webhooks": {"asyncPredictResult": {"post": _WEBHOOK}},
        "components": {
            "schemas": {"Refusal": REFUSAL, **_schemas()},
            "responses": {f"Refused{status}": _refusal(status) for status in _MEANINGS},
            "securitySchemes": {
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "Api-Key YOUR_KEY, or Bearer YOUR_KEY.",
                }
            },
        },
    }


_WEBHOOK = {
    "summary": "The result of an async request, sent to its webhook endpoint.",
    "parameters": [
        {"name": WEBHOOK_REQUEST_ID, "in": "header", "required": True, "schema": TEXT},
        {"name": SIGNATURE, "in": "header", "schema": TEXT},
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": _REFERENCE.format(model=AsyncPredictResult.__name__)}}
        },
    },
    "responses": {
        "2XX": {"description": "Received."},
        "default": {"description": "Not received; 500, 502, 503 and 504 are repeated."},
    },
}


def _operation(described: _Described) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{described.method}{described.path}").strip("_")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": described.summary,
        "parameters": [
            *(
                {"name": each, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for each in re.findall(r"{(\w+)}", described.path)
            ),
            *({"name": each, "in": "query", "schema": schema} for each, schema in described.query.items()),
        ],
        "responses": {
            str(described.status): _answer("Done.", described.answer, described.content_type),
            **{str(status): {"$ref": _REFUSED.format(status=status)} for status in described.refusals},
        },
    }
    if not described.is_open:
        operation["security"] = [{"key": []}]
    if described.body is not None:
        operation["requestBody"] = {
            "required": described.body is not ANY,
            "content": {"application/json": {"schema": _reference(described.body)}},
        }
    return operation


def _answer(
    description: str, content: Content | None, content_type: str = "application/json"
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": description,
        "headers": {REQUEST_ID: {"required": True, "schema": TEXT}},
    }
    if content is ANY:  # the model's own: of any type
        answer["content"] = {"*/*": {}}
    elif content is not None:
        answer["content"] = {content_type: {"schema": _reference(content)}}
    return answer


def _refusal(status: int) -> dict[str, Any]:
    refusal = _answer(_MEANINGS[status], {"$ref": _REFERENCE.format(model="Refusal")})
    if status == 429:
        refusal["headers"]["Retry-After"] = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
    return refusal


def _reference(content: Content) -> Schema:
    return {"$ref": _REFERENCE.format(model=content.__name__)} if isinstance(content, type) else content


def _schemas() -> dict[str, Any]:
    described = (*_PLATFORM, *_OWN)
    contents = [AsyncPredictResult, *(each.body for each in described), *(each.answer for each in described)]
    models = list(dict.fromkeys(each for each in contents if isinstance(each, type)))
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    schemas: dict[str, Any] = definitions["$defs"]
    asked = schemas[AsyncPredictRequest.__name__]["properties"]
    retrying = asked["inference_retry_config"]  # pydantic does not tell that null stands for the defaults
    retrying["anyOf"] = [{"$ref": retrying.pop("$ref")}, {"type": "null"}]
    return schemas
