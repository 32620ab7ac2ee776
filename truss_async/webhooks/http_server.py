"""The smallest HTTP/1.1 server that a webhook endpoint needs, on the standard library."""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ..errors import TrussAsyncError
from ..printable import printable_logger

logger = printable_logger(__name__)

IDLE_SECONDS = 60.0
_PIECE_BYTES = 1 << 20


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


class HttpServer:
    """Hands every POST to ``handle``, from one thread for each connection. Port 0 picks a free one.

    With ``tls``, which holds the certificate, it speaks HTTPS.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        handle: Callable[[Request], Answer],
        max_body_bytes: int,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._sockets = _SocketServer(host, port, handle=handle, max_body_bytes=max_body_bytes, tls=tls)
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://{shown}:{self._sockets.server_address[1]}"
        self._thread = threading.Thread(
            target=self._sockets.serve_forever, args=(0.01,), name="webhook-receiver"
        )

    def start(self) -> None:
        """Accept connections."""
        self._thread.start()

    def stop(self) -> None:
        """Stop accepting, let requests that have arrived be answered, and end every thread."""
        self._sockets.shutdown()
        self._thread.join()
        self._sockets.hang_up()
        self._sockets.server_close()


class _SocketServer(ThreadingHTTPServer):
    daemon_threads = False  # so that server_close() waits for them
    request_queue_size = 128

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
        connection, address = super().get_request()
        if self._tls is not None:
            # The handshake comes with the first read, in the connection's own thread: a slow one delays nobody.
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

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

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, TrussAsyncError):
            logger.error("%s", error)
        else:
            logger.error("a webhook could not be handled", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "truss-async"
    sys_version = ""
    timeout = IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _SocketServer

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):  # the sender has gone, or speaks no TLS
            super().handle()

    def do_POST(self) -> None:
        body = self._read_body()
        if body is None:
            return
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]},{value}" if key in headers else value
        try:
            answer = self.server.handle_post(Request(path=self.path, headers=headers, body=body))
        except BaseException:
            self._answer(Answer(500, {"error": "the receiver failed; send it again"}))
            raise
        self._answer(answer)

    def _read_body(self) -> bytes | None:
        """The body, or None when the request was refused without it."""
        announced = self.headers.get_all("Content-Length", [])
        if self.headers.get("Transfer-Encoding") is not None or not announced:
            self.send_error(411, "send a Content-Length")
        elif len(set(announced)) > 1 or not (announced[0].isascii() and announced[0].isdigit()):
            self.send_error(400, "Content-Length is not a number")
        elif len(announced[0]) > 18 or int(announced[0]) > self.server.max_body_bytes:
            self.send_error(413, f"the body exceeds {self.server.max_body_bytes} bytes")
        else:
            return self._read(int(announced[0]))
        return None

    def _read(self, size: int) -> bytes | None:
        # In pieces: memory grows with what arrives, not with what was announced.
        body = bytearray()
        while len(body) < size:
            piece = self.rfile.read(min(size - len(body), _PIECE_BYTES))
            if not piece:
                self.close_connection = True  # cut off: nobody is left to answer
                return None
            body += piece
        return bytes(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.close_connection = True  # the body that may follow stays unread
        if code == HTTPStatus.NOT_IMPLEMENTED:  # how the base class says: there is no do_GET
            self._answer(Answer(405, {"error": "POST async predict results here"}), allow="POST")
        else:
            self._answer(Answer(code, {"error": message or HTTPStatus(code).phrase}))

    def _answer(self, answer: Answer, *, allow: str | None = None) -> None:
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

    def log_message(self, *_args: Any, **_kwargs: Any) -> None:
        """Log nothing: what arrived is in the receiver's deliveries."""
