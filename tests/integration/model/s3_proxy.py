"""A proxy in front of an S3 server, in which the writes of some objects go wrong."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from truss_async.clock import SYSTEM_CLOCK

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

SLOW_SECONDS = 0.7
UNAVAILABLE = b'<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>'


class S3Proxy:
    """What becomes of a write is said by the fault that its key names, as long as there are faults.

    ``slow``: it takes its time. ``unavailable``: 503, the server never sees it. ``refused``: the server sees another
    access key. ``stalled``: no answer, the server never sees it. ``unheard``: the server does it, the answer is lost.
    ``unheard-once``: so it is with the first answer for each object.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.endpoint_url = endpoint_url
        self.has_faults = True
        self.unheard: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault_of(self, path: str) -> str | None:
        """The fault that a write to that path meets."""
        name = path.rpartition("/outputs/")[2].partition("_")[0]
        if not self.has_faults:
            return None
        if name == "unheard-once":
            is_first = path not in self.unheard
            self.unheard.add(path)
            return "unheard" if is_first else None
        return name

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_call(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fault_of(self.path) if self.command == "PUT" else None
                if fault == "unavailable":
                    self._answer(503, {"Content-Type": "application/xml"}, UNAVAILABLE)
                    return
                if fault in ("slow", "stalled"):
                    SYSTEM_CLOCK.block(SLOW_SECONDS)
                if fault != "stalled":
                    status, headers, content = self._forward(body, is_refused=fault == "refused")
                if fault in ("stalled", "unheard"):
                    self.close_connection = True
                    return
                self._answer(status, headers, content)

            def _forward(self, body: bytes, *, is_refused: bool) -> tuple[int, dict[str, str], bytes]:
                connection = http.client.HTTPConnection(urlsplit(proxy.endpoint_url).netloc, timeout=30)
                try:
                    connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        wrong = is_refused and name.lower() == "authorization"
                        connection.putheader(
                            name, value.replace("Credential=", "Credential=no") if wrong else value
                        )
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    return answer.status, dict(answer.getheaders()), answer.read()
                finally:
                    connection.close()

            def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                length = headers.get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        for method in ("GET", "HEAD", "PUT", "POST", "DELETE"):
            setattr(Handler, f"do_{method}", Handler.handle_call)
        return Handler
