"""A model server that answers bytes, whatever they are, and then hangs up."""

import contextlib
import socketserver
import threading
from types import TracebackType
from typing import ClassVar


class RawServer:
    """Reads a request to its end, sends ``answer`` and closes.

    An answer that is whole has to say that it closes: else the next call may be sent on the connection that is just
    being closed, and nobody can tell whether it was heard.
    """

    GOOD: ClassVar = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    def __init__(self) -> None:
        self.answer = self.GOOD
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    size, line = 0, b" "
                    while line not in (b"\r\n", b""):
                        line = self.rfile.readline()
                        if line.lower().startswith(b"content-length:"):
                            size = int(line.partition(b":")[2])
                    if not line:
                        return
                    self.rfile.read(size)
                    self.wfile.write(outer.answer)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    def __enter__(self) -> "RawServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
