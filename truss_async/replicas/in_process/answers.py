"""Answers as the Truss server gives them: outputs, errors with their codes, and streams."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

from ...contract.headers import ERROR_CODE, ERROR_SOURCE
from ...contract.truss_server import (
    CLIENT_ERROR,
    DOWNSTREAM_ERROR,
    MODEL_ERROR_MESSAGE,
    SERVER_SOURCE,
    UNEXPECTED_ERROR,
    UNHANDLED_EXCEPTION,
)
from ..protocol import ReplicaUnreachableError

CLIENT_CLOSED_REQUEST: Final = 499


class InputParsingError(ValueError):
    """The body is not what the model takes."""


class UserCodeError(Exception):
    """A hook raised an exception."""


class MethodMissingError(Exception):
    """The model does not have the method behind a route."""


class CallerGoneError(Exception):
    """Nobody waits for the answer any more."""


EXITS: Final = (SystemExit, KeyboardInterrupt)
"""What ends a process, and here the event loop of the harness, if it is raised there."""


class ModelExitError(BaseException):
    """A hook wanted to end the process; no handler of the server's answers that."""


class WholeAnswer:
    """An answer whose body is there."""

    __slots__ = ("_body", "headers", "status")

    def __init__(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        return self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body

    def close(self) -> None:
        """There is nothing to let go of."""


class StreamAnswer:
    """An answer whose body is fed to it while it is read; ``on_close`` is called when nobody reads it any more."""

    def __init__(
        self, status: int, headers: Sequence[tuple[bytes, bytes]], *, on_close: Callable[[], None]
    ) -> None:
        self.status = status
        self.headers = headers
        self._on_close = on_close
        self._fed: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._problem: str | None = None

    def feed(self, chunk: bytes) -> None:
        self._fed.put_nowait(chunk)

    def end(self, problem: str | None = None) -> None:
        """There is no more; with a problem, because it broke off."""
        self._problem = problem
        self._fed.put_nowait(None)

    async def read(self) -> bytes:
        return b"".join([chunk async for chunk in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._fed.get()) is not None:
            yield chunk
        if self._problem is not None:
            raise ReplicaUnreachableError(self._problem)

    def close(self) -> None:
        self._on_close()


def json_answer(
    content: bytes, *, status: int = 200, extra: Sequence[tuple[bytes, bytes]] = ()
) -> WholeAnswer:
    """JSON, or what is taken for it."""
    size = str(len(content)).encode()
    return WholeAnswer(
        status, ((b"content-length", size), (b"content-type", b"application/json"), *extra), content
    )


def error_headers(code: str = CLIENT_ERROR) -> dict[str, str]:
    """The headers that tell who is to blame; by default those put on a response that the model made itself."""
    return {ERROR_SOURCE: SERVER_SOURCE, ERROR_CODE: code}


def failed_answer(error: BaseException) -> WholeAnswer:
    """What the Truss server's exception handlers answer; what they do not handle is not even JSON."""
    match error:
        case InputParsingError():
            return _error(400, str(error), CLIENT_ERROR)
        case UserCodeError():
            return _error(500, MODEL_ERROR_MESSAGE, DOWNSTREAM_ERROR)
        case MethodMissingError():
            return _error(404, str(error), CLIENT_ERROR)
        case CallerGoneError():
            return _error(CLIENT_CLOSED_REQUEST, str(error), DOWNSTREAM_ERROR)
        case Exception():
            if is_http_exception(error):
                told: Any = error
                return _error(told.status_code, told.detail, DOWNSTREAM_ERROR)
            return _error(500, f"{UNHANDLED_EXCEPTION}{type(error).__name__}: {error}", UNEXPECTED_ERROR)
        case _:
            text = b"Internal Server Error"
            size = str(len(text)).encode()
            return WholeAnswer(
                500, ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", size)), text
            )


def is_http_exception(error: BaseException) -> bool:
    """Whether it is FastAPI's, which nobody can raise who has not imported that."""
    fastapi = sys.modules.get("fastapi")
    return fastapi is not None and isinstance(error, fastapi.HTTPException)


def _error(status: int, said: object, code: str) -> WholeAnswer:
    content = json.dumps({"error": said}, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    headers = [(name.lower().encode(), value.encode()) for name, value in error_headers(code).items()]
    return json_answer(content.encode(), status=status, extra=headers)
