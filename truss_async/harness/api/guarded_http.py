"""uvicorn's HTTP/1.1 with bounds on what a caller may send before anybody looks at it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ...contract.headers import REQUEST_ID
from ...contract.request_ids import new_request_id
from .refusals import ApiErrorCode, CallRefusedError

MAX_URL_BYTES: Final = 16 * 1024
MAX_HEAD_BYTES: Final = 64 * 1024
MAX_HEADERS: Final = 128
HEAD_SECONDS: Final = 30.0
LINGER_SECONDS: Final = 2.0
"""So long a caller that was refused may go on sending: closed at once, it would lose the answer."""
CUT: Final = "truss_async.cut"
"""The extension of an ASGI scope that ends the connection, so that an answer that broke off does not look whole."""

_BAD: Final = CallRefusedError(400, ApiErrorCode.CLIENT_ERROR, "not an HTTP request")
_LATE: Final = CallRefusedError(
    408, ApiErrorCode.TIMEOUT, f"the headers did not arrive within {HEAD_SECONDS:g} s"
)
_LONG_URL: Final = CallRefusedError(
    414, ApiErrorCode.CLIENT_ERROR, f"the URL is longer than {MAX_URL_BYTES} bytes"
)
_LARGE_HEAD: Final = CallRefusedError(
    431,
    ApiErrorCode.CLIENT_ERROR,
    f"the headers are larger than {MAX_HEAD_BYTES} bytes, or more than {MAX_HEADERS}",
)

if TYPE_CHECKING:
    import asyncio

    from starlette.types import Scope


class GuardedHttp(HttpToolsProtocol):
    """Refuses a URL, headers or trailers beyond a bound as soon as they are, and headers that do not come in time.

    What the parser holds back is bounded too: between two things that it hands on, only so many bytes are read.
    """

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._held_back = 0
        self._may_be_large = False
        self._refusal: CallRefusedError | None = None
        self._is_refused = False
        self._is_in_head = False
        self._late = self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        self._held_back += len(data)
        self._may_be_large = self._held_back > MAX_HEAD_BYTES  # the head that ends in this read
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._late.cancel()
                self.handle_websocket_upgrade()
            # No other is offered: it is answered like any other call.
        except httptools.HttpParserError:
            self._refuse(self._refusal or _BAD)
        else:
            if self._held_back > MAX_HEAD_BYTES:
                self._refuse(_LARGE_HEAD)
            elif self._is_in_head and self._late.cancelled():
                self._late = self._expect_head()

    def _should_upgrade(self) -> bool:
        """To a websocket, of which only a GET is the handshake."""
        return self.parser.get_method() == b"GET" and super()._should_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head = True
        cast("Scope", self.scope)["extensions"] = {CUT: self.transport.close}

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._give_up(_LONG_URL)

    def on_headers_complete(self) -> None:
        # Of one read at most: what is longer without an end is refused where it is held back.
        if len(self.headers) > MAX_HEADERS or (
            self._may_be_large and sum(map(len, chain(*self.headers))) > MAX_HEAD_BYTES
        ):
            self._give_up(_LARGE_HEAD)
        self._held_back = 0
        self._is_in_head = False
        self._late.cancel()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._held_back = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._held_back = 0
        super().on_message_complete()

    def _give_up(self, refusal: CallRefusedError) -> None:
        self._refusal = refusal
        raise refusal  # through the parser, which stops here

    def _expect_head(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.head_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        if self._is_answering:
            self._late = self._expect_head()
        elif self._is_in_head:
            self._refuse(_LATE)
        else:
            self.transport.close()

    @property
    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, refusal: CallRefusedError) -> None:
        """Answer, unless an answer to an earlier call is on its way; then listen to the caller no longer."""
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        if self._is_answering:
            self.transport.close()
        else:
            self.transport.write(_as_bytes(refusal))
            self.transport.write_eof()
            self._late.cancel()
            self._late = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _as_bytes(refusal: CallRefusedError) -> bytes:
    answer = refusal.response()
    headers: list[tuple[bytes, bytes]] = [
        *answer.raw_headers,
        (REQUEST_ID.lower().encode(), new_request_id().encode()),
        (b"connection", b"close"),
    ]
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return STATUS_LINE[refusal.status_code] + head + b"\r\n" + bytes(answer.body)
