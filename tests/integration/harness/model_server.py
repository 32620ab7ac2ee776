"""A real HTTP model server in the test's own process, whose behaviour the test decides."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Answer:
    status: int = 200
    body: bytes = b"null"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    chunks: list[bytes] | None = None
    is_cut: bool = False


def echo(model_input: Any) -> Answer:
    return Answer(body=json.dumps({"echo": model_input}).encode())


class ModelServer:
    """``behave`` gets each model input and gives the answer; ``calls`` keeps request ids and inputs in order."""

    def __init__(self, behave: Callable[[Any], Answer] = echo) -> None:
        self.behave = behave
        self.calls: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._called = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # head and body go out apart, and must not wait for each other

            def do_GET(self) -> None:
                self._send(Answer(body=b"true"))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                model_input = json.loads(body)
                outer.calls.append((self.headers["x-baseten-request-id"], model_input))
                outer.headers.append({name.lower(): value for name, value in self.headers.items()})
                outer._called.set()
                self._send(outer.behave(model_input))

            def _send(self, answer: Answer) -> None:
                if answer.is_cut:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.chunks is None:
                    self.send_header("Content-Length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)
                else:
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for chunk in [*answer.chunks, b""]:
                        self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")

            def log_message(self, *args: Any) -> None:
                """Tests have no use for it."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that hangs up is none of the server's errors."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def wait_for_a_call(self) -> None:
        """Until the first request has come; the replica loads in real time, whatever the clock of the harness."""
        assert self._called.wait(30)

    def __enter__(self) -> "ModelServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
