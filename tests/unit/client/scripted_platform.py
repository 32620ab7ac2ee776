"""A real HTTP server that answers what it is told, and remembers what it was asked."""

import json
import threading
from collections import defaultdict, deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedPlatform:
    """Answers come per method and path, in order; the last one is repeated. What nobody scripted is a 404."""

    calls: list[Call] = field(default_factory=list)
    _answers: dict[tuple[str, str], deque[tuple[int, bytes]]] = field(
        default_factory=lambda: defaultdict(deque)
    )

    def answer(self, method: str, path: str, status: int, content: Any) -> None:
        """Answer so, once; ``bytes`` go as they are, anything else as JSON."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._answers[method, path].append((status, body))

    def next_answer(self, call: Call) -> tuple[int, bytes]:
        self.calls.append(call)
        script = self._answers[call.method, call.path]
        if not script:
            return 404, b'{"error":"nothing here"}'
        return script.popleft() if len(script) > 1 else script[0]

    def __enter__(self) -> "ScriptedPlatform":
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.command, self.path, headers, self.rfile.read(size))
                status, body = platform.next_answer(call)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.do_POST()

            def do_DELETE(self) -> None:
                self.do_POST()

            def log_message(self, *_args: Any, **_kwargs: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that hangs up is none of the server's errors."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def status_answer(status: str, webhook_status: str = "SUCCEEDED", **fields: Any) -> dict[str, Any]:
    """The body of a status call's answer."""
    return {
        "request_id": "ab" * 16,
        "model_id": "abcd1234",
        "deployment_id": "wxyz9876",
        "status": status,
        "webhook_status": webhook_status,
        "created_at": "2026-01-01T00:00:00Z",
        "status_at": "2026-01-01T00:00:01.500000Z",
        "errors": [],
        **fields,
    }
