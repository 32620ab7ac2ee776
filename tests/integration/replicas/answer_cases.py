"""Models, what they are asked, and the status of the answer, whoever serves them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from textwrap import dedent, indent


@dataclass(frozen=True)
class Case:
    """A model and one call of it; ``body`` is JSON unless it is bytes."""

    model: str
    status: int
    body: object = None
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    route: str | None = None

    @property
    def source(self) -> str:
        return _IMPORTS + dedent(self.model)

    @property
    def sent(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


_IMPORTS = """
import asyncio
import datetime
import json
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any

import numpy
import pydantic
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

"""


def returning(expression: str) -> str:
    return predicting(f"return {expression}")


def predicting(code: str, *, arguments: str = "self, model_input", kind: str = "def") -> str:
    return f"class Model:\n    {kind} predict({arguments}):\n" + indent(dedent(code).strip(), " " * 8)


_PYDANTIC = """
class Item(pydantic.BaseModel):
    name: str
    sizes: list[int] = []

class Order(pydantic.BaseModel):
    item: Item
    when: datetime.date | None = None

class Model:
    def predict(self, order: Order):
        return {"name": order.item.name, "when": str(order.when)}
"""

_HOOKS = """
class Model:
    def preprocess(self, model_input):
        return {**model_input, "pre": True}

    async def predict(self, model_input):
        return {**model_input, "predict": True}

    def postprocess(self, model_output):
        return {**model_output, "post": True}
"""

_HOOK_FAILS = """
class Model:
    def preprocess(self, model_input):
        if model_input == "preprocess":
            raise ValueError("no preprocess")
        return model_input

    async def predict(self, model_input):
        if model_input == "predict":
            raise ValueError("no predict")
        return model_input

    async def postprocess(self, model_output):
        raise ValueError("no postprocess")
"""

_REQUEST = """
class Model:
    async def preprocess(self, model_input, request: Request):
        return [model_input, request.headers["x-baseten-request-id"]]

    def predict(self, value):
        return value

    def postprocess(self, value, request: Request):
        return [*value, request.method, request.url.path, request.query_params.get("q"), request.headers["x-own"]]
"""

_REQUEST_ONLY = """
class Model:
    async def predict(self, request: Request):
        return {"raw": (await request.body()).decode(), "gone": await request.is_disconnected()}
"""

_REQUEST_ID = """
class Model:
    async def preprocess(self, model_input):
        from _truss_shared.log_config import request_id_context
        return [request_id_context.get(), await asyncio.to_thread(request_id_context.get)]

    def predict(self, seen):
        from _truss_shared.log_config import request_id_context
        return [*seen, request_id_context.get()]
"""

_ENDPOINT = """
class Model:
    def predict(self, model_input):
        return "predict"

    async def chat_completions(self, model_input, request: Request):
        return {"chat": model_input}

    def completions(self, model_input):
        yield "a"
        yield b"b"
"""

_WATCHED = """
class Model:
    def predict(self, model_input, request: Request):
        with request.state.watch_disconnect() as disconnected:
            return disconnected.is_set()
"""

_STREAM = predicting("yield 'a'\nyield b'b'\nyield 'é'")
_ASYNC_STREAM = predicting("yield b'a'\nawait asyncio.sleep(0)\nyield 'b'", kind="async def")
_STREAM_FAILS = predicting("yield b'a'\nraise ValueError('in the middle')")
_RETURNS_STREAM = predicting("return (part for part in ('x', 'y'))")
_RESPONSE_STREAM = predicting(
    "async def parts():\n    yield 'a'\n    yield b'b'\nreturn StreamingResponse(parts(), 202, {'X-Own': '1'}, 'text/plain')"
)
_POSTPROCESSED = "\n    def postprocess(self, model_output):\n        return model_output\n"
_STREAMING_POSTPROCESS = """
class Model:
    def predict(self, model_input):
        return ["a", "b"]

    def postprocess(self, model_output):
        yield from model_output
"""
_JSON = {"Accept": "application/json"}
_BINARY = {"Content-Type": "application/octet-stream"}

CASES = {
    "object": Case(returning("{'got': model_input}"), 200, {"a": [1, 2.5, None, True, "ü"]}),
    "null": Case(returning("None"), 200),
    "text": Case(returning("'text with ü'"), 200),
    "tuple": Case(returning("(1, (2,))"), 200),
    "number keys": Case(returning("{1: 2, None: 3, 1.5: True}"), 200),
    "NaN and infinity": Case(returning("[float('nan'), float('inf'), 1e400, 10**30]"), 200),
    "lone surrogate": Case(returning("'\\ud800'"), 200),
    "tuple keys": Case(returning("{(1, 2): 3}"), 500),
    "set": Case(returning("{1}"), 500),
    "bytes": Case(returning("b'1'"), 500),
    "date": Case(returning("datetime.date(2024, 1, 2)"), 500),
    "circle": Case(predicting("a = []\na.append(a)\nreturn a"), 500),
    "coroutine of a sync predict": Case(
        predicting("async def late(): return 1\nc = late()\nc.close()\nreturn c"), 500
    ),
    "numpy": Case(
        returning("{'a': numpy.arange(4).reshape(2, 2), 'i': numpy.int64(3), 'f': numpy.float32(0.5)}"), 200
    ),
    "numpy bool": Case(returning("numpy.bool_(True)"), 500),
    "pydantic output": Case(
        "class Out(pydantic.BaseModel):\n    a: int = pydantic.Field(1, serialization_alias='b')\n    d: datetime.date = datetime.date(2024, 1, 2)\n"
        + returning("Out()"),
        200,
    ),
    "async": Case(predicting("await asyncio.sleep(0)\nreturn model_input", kind="async def"), 200, [1]),
    "annotated with what is no class": Case(
        predicting("return model_input", arguments="self, model_input: dict[str, Any]"), 200, {"a": 1}
    ),
    "no arguments": Case(predicting("return 'nothing'", arguments="self"), 200, {"a": 1}),
    "no body": Case(returning("model_input"), 400, b""),
    "invalid JSON": Case(returning("model_input"), 400, b'{"a": '),
    "JSON in UTF-16": Case(returning("model_input"), 200, '{"a": "ü"}'.encode("utf-16")),
    "no UTF-8": Case(returning("model_input"), 500, b'"\xff"'),
    "NaN input": Case(returning("str(model_input)"), 200, b"[NaN, Infinity]"),
    "hooks": Case(_HOOKS, 200, {"a": 1}),
    "preprocess fails": Case(_HOOK_FAILS, 500, "preprocess"),
    "predict fails": Case(_HOOK_FAILS, 500, "predict"),
    "postprocess fails": Case(_HOOK_FAILS, 500, "postprocess"),
    "async predict fails": Case(predicting("raise KeyError('x')", kind="async def"), 500),
    "StopIteration": Case(predicting("raise StopIteration"), 500),
    "sync SystemExit": Case(predicting("raise SystemExit(3)"), 500),
    "cancelled": Case(predicting("raise asyncio.CancelledError", kind="async def"), 500),
    "HTTPException": Case(predicting("raise HTTPException(404, 'no such page')"), 404),
    "HTTPException with an object": Case(
        predicting("raise HTTPException(422, {'why': ['ü']}, {'X-Own': '1'})", kind="async def"), 422
    ),
    "HTTPException of starlette": Case(predicting("raise StarletteHTTPException(404, 'x')"), 500),
    "response": Case(returning("Response('hello', 200, {'X-Own': '1'}, 'text/plain')"), 200),
    "response of an error": Case(returning("JSONResponse({'own': 'error'}, 404)"), 404),
    "empty response": Case(returning("Response(status_code=204)"), 204),
    "response with postprocess": Case(returning("Response('x')") + _POSTPROCESSED, 500),
    "streaming response": Case(_RESPONSE_STREAM, 202),
    "pydantic input": Case(_PYDANTIC, 200, {"item": {"name": "a", "sizes": ["3"]}, "when": "2024-01-02"}),
    "pydantic input, wrong": Case(_PYDANTIC, 400, {"item": {"sizes": [1, "x"]}, "when": 1.5}),
    "pydantic input, one error": Case(_PYDANTIC, 400, {"item": 3}),
    "pydantic input, no object": Case(_PYDANTIC, 400, [1]),
    "pydantic input, no JSON": Case(_PYDANTIC, 400, b"{"),
    "request": Case(_REQUEST, 200, {"a": 1}, {"X-Own": "mine"}),
    "request only": Case(_REQUEST_ONLY, 200, b"no JSON at all"),
    "request id": Case(_REQUEST_ID, 200),
    "watched request": Case(_WATCHED, 200),
    "stream": Case(_STREAM, 200),
    "async stream": Case(_ASYNC_STREAM, 200),
    "stream, gathered": Case(_STREAM, 200, headers=_JSON),
    "async stream, gathered": Case(_ASYNC_STREAM, 200, headers=_JSON),
    "stream, asked for by OpenAI's client": Case(
        _STREAM, 200, headers={**_JSON, "User-Agent": "OpenAI/Python 1.61.0"}
    ),
    "stream, accepting more": Case(_STREAM, 200, headers={"Accept": "application/json, */*"}),
    "stream that is returned": Case(_RETURNS_STREAM, 200),
    "stream fails": Case(_STREAM_FAILS, 200),
    "stream fails, gathered": Case(_STREAM_FAILS, 500, headers=_JSON),
    "stream with postprocess": Case(_STREAM + _POSTPROCESSED, 500),
    "stream of postprocess": Case(_STREAMING_POSTPROCESS, 200),
    "MessagePack": Case(
        returning("{'got': model_input, 'd': datetime.date(2024, 1, 2)}"), 200, b"\x81\xa1a\x01", _BINARY
    ),
    "MessagePack of bytes": Case(returning("b'raw'"), 200, b"\x01", _BINARY),
    "no MessagePack": Case(returning("model_input"), 400, b"\x81", _BINARY),
    "MessagePack, pydantic input": Case(_PYDANTIC, 400, b"\x01", _BINARY),
    "chat": Case(_ENDPOINT, 200, {"m": 1}, route="v1/chat/completions"),
    "completions": Case(_ENDPOINT, 200, {"m": 1}, route="v1/completions"),
    "no embeddings": Case(_ENDPOINT, 404, {"m": 1}, route="v1/embeddings"),
    "predict by its route": Case(_REQUEST, 200, 1, {"X-Own": "mine"}, route="v1/models/model:predict?q=2"),
    "unknown route": Case(_ENDPOINT, 404, 1, route="no/such"),
    "wrong method": Case(_ENDPOINT, 405, 1, method="PUT", route="v1/chat/completions"),
    "root": Case(_ENDPOINT, 200, b"", method="GET", route=""),
    "loaded": Case(_ENDPOINT, 200, b"", method="GET", route="v1/models/model/loaded"),
}

REFUSED = {
    "no predict": "class Model:\n    def load(self):\n        pass\n",
    "three arguments": "class Model:\n    def predict(self, a, b, c):\n        pass\n",
    "request first": "class Model:\n    def predict(self, request: Request, b: Request):\n        pass\n",
    "no annotation": "class Model:\n    def predict(self, a, request):\n        pass\n",
    "annotation in a string": "class Model:\n    def predict(self, a, request: 'Request'):\n        pass\n",
    "optional request": "class Model:\n    def predict(self, a, request: Request | None):\n        pass\n",
    "any arguments": "class Model:\n    def predict(self, *args, **kwargs):\n        pass\n",
    "postprocess of a request": returning("1")
    + "\n    def postprocess(self, request: Request):\n        pass\n",
    "preprocess and predict of a request": "class Model:\n    def preprocess(self, a):\n        pass\n    def predict(self, request: Request):\n        pass\n",
    "postprocess is None": returning("1") + "\n    postprocess = None\n",
    "websocket and predict": returning("1") + "\n    async def websocket(self, websocket):\n        pass\n",
}
