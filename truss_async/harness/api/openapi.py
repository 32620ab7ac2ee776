"""What the harness answers, as an OpenAPI document: the platform's calls, and its own."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import models_json_schema

from ...contract import AsyncPredictRequest, AsyncPredictResult
from ...contract.headers import REQUEST_ID, SIGNATURE, WEBHOOK_REQUEST_ID
from .calls import ANY, ANY_METHOD
from .refusals import ApiErrorCode

if TYPE_CHECKING:
    from .calls import Content, Operation, Schema

_TEXT: Final[Schema] = {"type": "string"}
_REFUSAL: Final[Schema] = {
    "type": "object",
    "properties": {
        "error": _TEXT,
        "error_code": {"enum": [code.value for code in ApiErrorCode]},
        "detail": _TEXT,
    },
    "required": ["error", "error_code"],
}
_REFERENCE = "#/components/schemas/{model}"
_REFUSED = "#/components/responses/Refused{status}"
_METHODS = ("get", "head", "post", "put", "patch", "delete", "options", "trace")
_WITHOUT_BODY = ("get", "head", "delete", "options", "trace")

_MEANINGS = {
    400: "The body or a parameter is not what it should be.",
    401: "The API key is missing or wrong.",
    404: "The host, the path or the id names nothing that is known here.",
    413: "The body is larger than the limit; the message tells both sizes.",
    426: "The call is not the handshake of a websocket.",
    429: "Over a limit.",
    502: "The model server cannot be reached.",
    503: "The model does not load, or the harness cannot take requests.",
    504: "The model took too long.",
    529: "No replica has room, and calls do not wait.",
}
_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "Authorization",
    "description": "Api-Key YOUR_KEY, or Bearer YOUR_KEY.",
}
_WEBHOOK = {
    "summary": "The result of an async request, sent to its webhook endpoint.",
    "parameters": [
        {"name": WEBHOOK_REQUEST_ID, "in": "header", "required": True, "schema": _TEXT},
        {"name": SIGNATURE, "in": "header", "schema": _TEXT},
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


def describe(every_path: Iterable[tuple[str, Operation]]) -> dict[str, Any]:
    """The document on these operations, each at its paths."""
    contents: list[Content | None] = [AsyncPredictResult]
    paths: dict[str, dict[str, Any]] = {}
    for path, operation in every_path:
        contents += (operation.body, operation.answer)
        methods = _METHODS if operation.method == ANY_METHOD else (operation.method.lower(),)
        for method in methods:
            paths.setdefault(path, {})[method] = _described(operation, method, path)
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
            "schemas": {"Refusal": _REFUSAL, **_schemas(contents)},
            "responses": {f"Refused{status}": _refusal(status) for status in _MEANINGS},
            "securitySchemes": {"key": _KEY},
        },
    }


def _described(operation: Operation, method: str, path: str) -> dict[str, Any]:
    status = "default" if operation.answer is ANY else str(operation.status)
    of_body = () if operation.body is None else (400, 413)
    refusals = sorted({*operation.refusals, *of_body, *(() if operation.is_open else (401,))})
    described: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{method}{path}").strip("_"),
        "summary": operation.summary,
        "parameters": [
            *(
                {"name": each, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
                for each in re.findall(r"{(\w+)}", path)
            ),
            *({"name": each, "in": "query", "schema": schema} for each, schema in operation.query.items()),
        ],
        "responses": {
            status: _answer("Done.", operation.answer, operation.media_type),
            **{str(each): {"$ref": _REFUSED.format(status=each)} for each in refusals},
        },
    }
    if not operation.is_open:
        described["security"] = [{"key": []}]
    if operation.body is not None and method not in _WITHOUT_BODY:
        described["requestBody"] = {
            "required": operation.body is not ANY,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _answer(
    description: str, content: Content | None, media_type: str = "application/json"
) -> dict[str, Any]:
    answer: dict[str, Any] = {
        "description": description,
        "headers": {REQUEST_ID: {"required": True, "schema": _TEXT}},
    }
    if content is ANY:
        answer["content"] = {"*/*": {}}
    elif content is not None:
        answer["content"] = {media_type: {"schema": _reference(content)}}
    return answer


def _refusal(status: int) -> dict[str, Any]:
    refusal = _answer(_MEANINGS[status], {"$ref": _REFERENCE.format(model="Refusal")})
    if status == 429:
        refusal["headers"]["Retry-After"] = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
    return refusal


def _reference(content: Content) -> Schema:
    return {"$ref": _REFERENCE.format(model=content.__name__)} if isinstance(content, type) else content


def _schemas(contents: Iterable[Content | None]) -> dict[str, Any]:
    models = list(dict.fromkeys(each for each in contents if isinstance(each, type)))
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    schemas: dict[str, Any] = definitions["$defs"]
    asked = schemas[AsyncPredictRequest.__name__]["properties"]
    retrying = asked["inference_retry_config"]  # pydantic does not tell that null stands for the defaults
    retrying["anyOf"] = [{"$ref": retrying.pop("$ref")}, {"type": "null"}]
    return schemas
