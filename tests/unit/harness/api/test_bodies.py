"""Bodies are read up to their limit, and no byte further, whether their size is declared or they come in chunks."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest
from starlette.requests import Request
from starlette.types import Message

from truss_async.harness.api.bodies import IncomingBody, read_body
from truss_async.harness.api.refusals import CallRefusedError

LIMIT = 10
TOO_LARGE = r"^payload size of 11 bytes exceeds maximum size of 10 bytes$"


def coming(*chunks: bytes, declared: int | None = None) -> Request:
    """A call whose body comes in these chunks; without a declared size, as HTTP's chunked coding has it."""
    size = (b"transfer-encoding", b"chunked") if declared is None else (b"content-length", b"%d" % declared)
    messages = iter([{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks])

    async def receive() -> Message:
        return next(messages, {"type": "http.request", "body": b"", "more_body": False})

    return Request({"type": "http", "method": "POST", "path": "/", "headers": [size]}, receive)


async def whole(request: Request) -> bytes:
    return await read_body(request, limit=LIMIT)


async def passed_on(request: Request) -> bytes:
    return b"".join([chunk async for chunk in IncomingBody(request, limit=LIMIT).chunks()])


READERS = pytest.mark.parametrize("read", [whole, passed_on])
Read = Callable[[Request], Coroutine[None, None, bytes]]


@READERS
@pytest.mark.parametrize("chunks", [[b"0123456789"], [b"01234", b"56789"], [b"0", b"", b"123456789"]])
def test_a_chunked_body_of_exactly_the_limit_passes(read: Read, chunks: list[bytes]) -> None:
    assert asyncio.run(read(coming(*chunks))) == b"0123456789"


@READERS
@pytest.mark.parametrize(
    "chunks", [[b"0123456789x"], [b"0123456789", b"x"], [b"01234", b"56789x", b"never read"]]
)
def test_a_chunked_body_of_one_byte_more_than_the_limit_is_413_with_both_sizes(
    read: Read, chunks: list[bytes]
) -> None:
    with pytest.raises(CallRefusedError, match=TOO_LARGE) as caught:
        asyncio.run(read(coming(*chunks)))
    assert caught.value.status_code == 413


def test_a_body_that_is_passed_on_keeps_the_refusal_for_its_caller() -> None:
    body = IncomingBody(coming(b"0123456789", b"x"), limit=LIMIT)

    async def pass_on() -> None:
        async for _ in body.chunks():
            pass

    with pytest.raises(CallRefusedError) as caught:
        asyncio.run(pass_on())
    assert (body.refusal, body.is_broken_off) == (caught.value, False)
