"""A certificate authority of the test's own, and an HTTPS server that it vouches for."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme

LOOPBACK = "127.0.0.1"


@dataclass
class Received:
    """Where the server listens, and the bodies that were posted to it."""

    url: str
    bodies: list[bytes] = field(default_factory=list)


class Authority:
    """Signs one certificate, for the loopback address; ``file`` is what callers must trust."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.file = folder / "authority.pem"
        authority.cert_pem.write_to_path(self.file)
        self._server = authority.issue_cert(LOOPBACK)

    @contextmanager
    def serve_https(self, *, location: str | None = None) -> Iterator[Received]:
        """Answer 200 to every POST, or redirect it."""

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                received.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200 if location is None else 307)
                if location is not None:
                    self.send_header("Location", location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Nothing."""

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A caller that does not trust it hangs up."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        server = Server((LOOPBACK, 0), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        received = Received(f"https://{LOOPBACK}:{server.server_address[1]}/hook")
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
