"""Reading what a caller sends, within bounds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json
from starlette.requests import ClientDisconnect

from ...contract import AsyncPredictRequest
from ...errors import explained
from .json_member import Member
from .refusals import bad_request, too_large

if TYPE_CHECKING:
    from starlette.requests import Request

    from .refusals import CallRefusedError

Model = TypeVar("Model", bound=BaseModel)

_MODEL_INPUT = Member("model_input", beside=AsyncPredictRequest.model_fields)


def first_headers(request: Request) -> dict[bytes, bytes]:
    """The headers, of those of one name the first."""
    return dict(reversed(request.scope["headers"]))


def declared_size(head: Mapping[bytes, bytes]) -> int | None:
    """How large the headers say the body is; None when they do not."""
    declared = head.get(b"content-length", b"")
    return int(declared) if declared.isdigit() else None


def check_size(declared: int | None, *, limit: int) -> None:
    """Let a call pass whose body, as far as its headers tell, is small enough.

    Raises:
        CallRefusedError: 413.
    """
    if declared is not None and declared > limit:
        raise too_large(declared, limit)


async def caller_left(request: Request) -> None:
    """Return when the caller has hung up; for a request whose body nobody else reads any more."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class IncomingBody:
    """A body that is passed on while it comes in, within bounds; what was declared is within them."""

    def __init__(self, request: Request, *, limit: int) -> None:
        self._request = request
        self._limit = limit
        self._over = asyncio.Event()
        self.declared_size = request.headers.get("content-length")
        self.has_any = self.declared_size not in (None, "0") or "transfer-encoding" in request.headers
        if not self.has_any:
            self._over.set()
        self.refusal: CallRefusedError | None = None
        self.is_broken_off = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, part by part; ``refusal`` and ``is_broken_off`` tell why it ended early."""
        size = 0
        try:
            async for chunk in self._request.stream():
                size += len(chunk)
                if size > self._limit:
                    self.refusal = too_large(size, self._limit)
                    raise self.refusal
                if chunk:
                    yield chunk
        except ClientDisconnect:
            self.is_broken_off = True
            raise
        finally:
            self._over.set()

    async def caller_left(self) -> None:
        """Return when the caller has hung up, which is looked for once the body is in or no longer read."""
        await self._over.wait()
        if not self.is_broken_off:
            await caller_left(self._request)


async def read_body(request: Request, *, limit: int) -> bytes:
    """The whole body; what was declared is within bounds.

    Raises:
        CallRefusedError: 413, when it is larger; the size reported is what had come by then.
        ClientDisconnect: the caller hung up before its end.
    """
    chunks: list[bytes] = []
    size, is_whole = 0, False
    while not is_whole:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise too_large(size, limit)
        chunks.append(chunk)
        is_whole = not message.get("more_body", False)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def parse_async_request(body: bytes) -> tuple[AsyncPredictRequest, bytes]:
    """The request without its model input, and that as it is written in the body.

    Raises:
        CallRefusedError: 400, naming the first thing that is wrong.
    """
    try:
        # In a thread: what is deep is walked in Python, and may take a second.
        found = _MODEL_INPUT.cut(body) or await asyncio.to_thread(_MODEL_INPUT.cut_by_walk, body)
    except ValueError as error:
        raise bad_request(f"invalid JSON: {error}") from None
    if found is None:
        raise bad_request('the body must be a JSON object, with a "model_input"')
    model_input, others = found
    try:
        return AsyncPredictRequest.model_validate(others), model_input
    except ValidationError as error:
        raise bad_request(explained(error)) from None


def parse(model: type[Model], body: bytes) -> Model:
    """The body as a model.

    Raises:
        CallRefusedError: 400, naming the first thing that is wrong.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise bad_request(explained(error)) from None


def parse_object(body: bytes) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        CallRefusedError: 400, it is none.
    """
    try:
        fields = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise bad_request(f"invalid JSON: {error}") from None
    if not isinstance(fields, dict):
        raise bad_request("the body must be a JSON object")
    return fields
