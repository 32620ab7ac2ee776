"""A model server that speaks websocket, in the test's own process: what it does is named in the query of the handshake."""

import contextlib
import logging
import socket
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

MAX_BYTES = 100 * 1024 * 1024
LARGER = b"\x82\x7f" + (MAX_BYTES + 1).to_bytes(8, "big")
"""How a message begins that is larger by a byte, as servers send it."""


class WebsocketServer:
    """``handshakes`` are those that it saw.

    Until ``is_up`` is set, it answers nothing.
    """

    def __init__(self) -> None:
        self.is_up = threading.Event()
        self.is_up.set()
        self.handshakes: list[Request] = []
        self._ends: dict[str, Future[tuple[int, str]]] = defaultdict(Future)
        self._does: dict[str, Callable[[ServerConnection], None]] = {
            "echo": self._echo,
            "close": lambda each: each.close(4001, "enough, grüße"),
            "die": lambda each: each.socket.shutdown(socket.SHUT_RDWR),
            "weigh": lambda each: each.send(str(len(each.recv()))),
            "large": lambda each: each.send(bytes(20 * 1024 * 1024)),
            "larger": self._send_larger,
        }
        quiet = logging.getLogger("tests.websocket_server")
        quiet.setLevel(logging.CRITICAL)
        self._server: Server = serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._look,
            subprotocols=["b", "a"],  # type: ignore[list-item]
            select_subprotocol=lambda _, offered: offered[-1] if offered else None,
            max_size=MAX_BYTES,
            logger=quiet,
        )
        self.url = f"http://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "WebsocketServer":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.is_up.set()
        self._server.shutdown()
        self._thread.join()

    def end_of(self, request_id: str) -> tuple[int, str]:
        """The code and the reason with which the websocket of that request was closed here, once it is."""
        return self._ends[request_id].result(30)

    def _look(self, connection: ServerConnection, request: Request) -> Response | None:
        self.is_up.wait(60)
        if request.headers.get("upgrade") is None:
            return connection.respond(200, "ready")  # somebody asks whether it is there
        self.handshakes.append(request)
        refused = parse_qs(urlsplit(request.path).query).get("refuse")
        return connection.respond(int(refused[0]), "no") if refused else None

    def _handle(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = parse_qs(urlsplit(connection.request.path).query)
        with contextlib.suppress(ConnectionClosed):
            self._does[query.get("do", ["echo"])[0]](connection)
        with contextlib.suppress(OSError):
            connection.close()
        request_id = connection.request.headers["x-baseten-request-id"]
        self._ends[request_id].set_result((connection.close_code or 0, connection.close_reason or ""))

    def _send_larger(self, connection: ServerConnection) -> None:
        connection.socket.sendall(LARGER)
        connection.recv()

    def _echo(self, connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)
