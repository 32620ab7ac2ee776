"""The smallest HTTP/1.1 server that a webhook endpoint needs, on the standard library."""

from __future__ import annotations

import contextlib
import io
import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

from ..clock import SYSTEM_CLOCK
from ..workers import Caught, log, start_worker
from .http_bodies import (
    BadRequestError,
    CutOffError,
    TimedReader,
    TooSlowError,
    read_announced,
    read_chunked,
)

# How long a connection is kept for a next request.
IDLE_SECONDS: Final = 60.0
# In all, for head and body: three times as long as the platform waits for the answer.
REQUEST_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 10.0
# How long the rest of a refused request is read, so that its sender gets to read the answer.
LINGER_SECONDS: Final = 2.0
MAX_CONNECTIONS: Final = 512
_OF_A_STREAM: Final = (
    ("Content-Type", "text/event-stream"),
    ("Cache-Control", "no-store"),
    ("X-Accel-Buffering", "no"),  # so that proxies pass each event on at once
    ("Connection", "close"),
)
_TOO_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Request:
    """A POST, read to its end. Header names are in lower case; values of repeated headers are joined by commas."""

    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """A status and a small JSON object."""

    status_code: int
    content: Mapping[str, Any]


class EventStream(Protocol):
    """Server-sent events: each piece is sent as soon as it is there, until there are no more, or nobody reads them."""

    def __iter__(self) -> Iterator[bytes]: ...

    def close(self) -> None:
        """Nobody reads any more; called once, whatever was read."""


class HttpServer:
    """Hands every POST to ``handle``, from one thread for each connection. Port 0 picks a free one.

    And every GET to ``handle_get``, if there is one. It ends the streams that it has answered with before ``stop``, which
    waits for them.

    With ``tls``, which holds the certificate, it speaks HTTPS. A request that has not arrived ``request_seconds`` after
    its first byte is answered 408.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        handle: Callable[[Request], Answer],
        max_body_bytes: int,
        handle_get: Callable[[Request], Answer | EventStream] | None = None,
        tls: ssl.SSLContext | None = None,
        idle_seconds: float = IDLE_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        self._sockets = _SocketServer(host, port, handle=handle, max_body_bytes=max_body_bytes, tls=tls)
        self._sockets.handle_get = handle_get
        self._sockets.idle_seconds, self._sockets.request_seconds = idle_seconds, request_seconds
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{shown}:{self._sockets.server_address[1]}"
        self._thread: threading.Thread | None = None
        self._has_served = self._is_stopping = False

    def start(self) -> None:
        """Accept connections."""
        self._thread = start_worker(
            self._accept,
            name="webhook-receiver",
            trouble="a connection could not be accepted",
            rest=lambda: SYSTEM_CLOCK.block(0.1),
            is_daemon=False,
        )

    def stop(self) -> None:
        """Stop accepting, let requests that have arrived be answered, and end every thread."""
        self._is_stopping = True
        if self._thread is not None:
            self._sockets.shutdown()
            self._thread.join()
        self._sockets.hang_up()
        self._sockets.server_close()

    def _accept(self) -> bool:
        if not (self._is_stopping and self._has_served):  # shutdown() waits until it has served once
            self._has_served = True
            self._sockets.serve_forever(0.01)
        return not self._is_stopping


class _SocketServer(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = 128
    idle_seconds: float
    request_seconds: float
    handle_get: Callable[[Request], Answer | EventStream] | None = None

    def __init__(
        self,
        host: str,
        port: int,
        *,
        handle: Callable[[Request], Answer],
        max_body_bytes: int,
        tls: ssl.SSLContext | None,
    ) -> None:
        self.handle_post = handle
        self.max_body_bytes = max_body_bytes
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own asks the name service for the host's full name, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            connection, address = super().get_request()
        except OSError:
            SYSTEM_CLOCK.block(
                0.05
            )  # there may be no room for another one, and the next try would come at once
            raise
        if self._tls is not None:
            # The handshake comes with the first read, in the connection's own thread: a slow one delays nobody.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
            is_too_many = len(self._connections) > MAX_CONNECTIONS
        if is_too_many:
            self._turn_away(request)
        else:
            super().process_request(request, client_address)

    def _turn_away(self, request: Any) -> None:
        request.settimeout(0)
        with contextlib.suppress(OSError):
            if self._tls is None:
                request.send(_TOO_BUSY)
        self.shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Wake the threads that wait for a next request; answers can still be written."""
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    # Not the TLS socket's own, which would send what is still to be written in the clear.
                    socket.socket.shutdown(connection, socket.SHUT_RD)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "truss-async"
    sys_version = ""
    wbufsize = 65536  # head and body of an answer go together
    disable_nagle_algorithm = True
    server: _SocketServer
    close_connection = True

    def setup(self) -> None:
        super().setup()
        self._arriving = TimedReader(
            self.connection,
            idle_seconds=self.server.idle_seconds,
            request_seconds=self.server.request_seconds,
        )
        self.rfile = io.BufferedReader(self._arriving, buffer_size=65536)
        self._asks_to_continue = self._is_refused = False

    def handle(self) -> None:
        """Answer one request after the other; nothing that one of them does is left to the thread's end."""
        with Caught() as caught:
            super().handle()
        match caught.error:
            case None | ConnectionError() | ssl.SSLError() | CutOffError() | TimeoutError():
                pass  # the sender has gone, reads no answer, or speaks no TLS
            case TooSlowError(has_begun=has_begun):
                self._end_slow(has_begun=has_begun)
            case error:
                log("a webhook could not be handled", error)

    def _end_slow(self, *, has_begun: bool) -> None:
        if has_begun:
            self.command, self.requestline, self.request_version = "POST", "", self.protocol_version
            with contextlib.suppress(OSError):
                self.send_error(408, f"the request did not arrive within {self.server.request_seconds:g} s")

    def finish(self) -> None:
        """Close; after a refusal only once the sender, who may still send, had a moment to read it."""
        with contextlib.suppress(OSError, TooSlowError):
            super().finish()
            if self._is_refused:
                self.connection.shutdown(socket.SHUT_WR)
                self._arriving.drain(LINGER_SECONDS)

    def handle_one_request(self) -> None:
        self._arriving.await_request()
        self._asks_to_continue = False
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        # What is too large, or is no POST, is not asked for.
        self._asks_to_continue = True
        return True

    def do_POST(self) -> None:
        try:
            body = self._read_body()
        except BadRequestError as error:
            self.send_error(error.status_code, str(error))
            return
        request = Request(path=self.path, headers=self._joined_headers(), body=body)
        answer = Answer(500, {"error": "the receiver failed; try again"})
        with Caught() as caught:  # the handler is the user's
            answer = self.server.handle_post(request)
        if caught.error is not None:
            log("a webhook could not be handled", caught.error)
        self._answer(answer)

    def do_GET(self) -> None:
        handle_get = self.server.handle_get
        if handle_get is None:
            self.send_error(HTTPStatus.NOT_IMPLEMENTED)
            return
        self.close_connection = True  # a body that may follow stays unread
        answer: Answer | EventStream = Answer(500, {"error": "the receiver failed"})
        with Caught() as caught:
            answer = handle_get(Request(path=self.path, headers=self._joined_headers(), body=b""))
        if caught.error is not None:
            log("a GET could not be handled", caught.error)
        if isinstance(answer, Answer):
            self._answer(answer)
            return
        try:
            self._stream(answer)
        finally:
            answer.close()

    def _joined_headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        return headers

    def _stream(self, stream: EventStream) -> None:
        self.connection.settimeout(ANSWER_SECONDS)
        self.send_response(HTTPStatus.OK)
        for name, value in _OF_A_STREAM:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.flush()
        for piece in stream:
            # Who takes long for all of it is not yet gone.
            for start in range(0, len(piece), self.wbufsize):
                self.wfile.write(piece[start : start + self.wbufsize])
                self.wfile.flush()

    def _read_body(self) -> bytes:
        limit = self.server.max_body_bytes
        announced = self.headers.get_all("Content-Length", [])
        codings = ",".join(self.headers.get_all("Transfer-Encoding", []))
        if codings:
            if announced or codings.strip().lower() != "chunked" or self.request_version < "HTTP/1.1":
                raise BadRequestError(
                    400, "the only supported Transfer-Encoding is chunked, without Content-Length"
                )
            self._ask_to_continue()
            return read_chunked(self.rfile, limit=limit)
        if not announced:
            raise BadRequestError(411, "send a Content-Length, or the body in chunks")
        if len(set(announced)) > 1 or not (announced[0].isascii() and announced[0].isdigit()):
            raise BadRequestError(400, "Content-Length is not a number")
        if len(announced[0]) > 18 or int(announced[0]) > limit:
            raise BadRequestError(413, f"the body exceeds {limit} bytes")
        self._ask_to_continue()
        return read_announced(self.rfile, int(announced[0]))

    def _ask_to_continue(self) -> None:
        if self._asks_to_continue:
            self.send_response_only(HTTPStatus.CONTINUE)
            self.end_headers()
            self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = self._is_refused = True  # the body that may follow stays unread
        if code == HTTPStatus.NOT_IMPLEMENTED:  # how the base class says: there is no do_GET
            self._answer(Answer(405, {"error": "POST async predict results here"}), allow="POST")
        else:
            self._answer(Answer(code, {"error": message or HTTPStatus(code).phrase}))

    def _answer(self, answer: Answer, *, allow: str | None = None) -> None:
        self.connection.settimeout(ANSWER_SECONDS)
        content = b"" if answer.status_code in (204, 304) else json.dumps(answer.content).encode()
        self.send_response(answer.status_code)
        if content:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
        if allow is not None:
            self.send_header("Allow", allow)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, *_args: Any, **_kwargs: Any) -> None:
        """Log nothing: what arrived is in the receiver's deliveries."""
