"""A real HTTP server with routes of its own: tells what it was sent, or echoes a body while it comes in."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any


class RouteServer:
    """``/echo`` sends each chunk back as it comes; any other request is told as JSON, with status 207."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go out apart, and must not wait for each other

            def _tell(self) -> None:
                if self.headers.get("Transfer-Encoding") == "chunked":
                    body = b"".join(chunk for _, chunk, _ in self._chunks())
                else:
                    body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                told = {
                    "method": self.command,
                    "path": self.path,
                    "headers": {name.lower(): value for name, value in self.headers.items()},
                    "body": body.decode(errors="replace"),
                }
                answer = json.dumps(told).encode()
                self.send_response(207)
                for cookie in ("a=1", "b=2"):
                    self.send_header("Set-Cookie", cookie)
                self.send_header("Content-Type", "application/told+json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            def _echo(self) -> None:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for parts in self._chunks():
                    self.wfile.write(b"".join(parts))

            def _chunks(self) -> Iterator[tuple[bytes, bytes, bytes]]:
                size = -1
                while size != 0:
                    line = self.rfile.readline()
                    size = int(line or b"0", 16)
                    yield line, self.rfile.read(size), self.rfile.readline()

            def log_message(self, *args: Any) -> None:
                """Tests have no use for it."""

        def answer(handler: Any) -> None:
            handler._echo() if handler.path == "/echo" else handler._tell()

        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY"):
            setattr(Handler, f"do_{method}", answer)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that hangs up is none of the server's errors."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "RouteServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
