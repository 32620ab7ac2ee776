"""A load balancer of the simplest kind: each call goes to the next node that answers."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import httpx

from ..contract.limits import MAX_BODY_BYTES
from ..webhooks.http_server import Answer, HttpServer, Request

if TYPE_CHECKING:
    from typing_extensions import Self

_PASSED_ON: Final = ("authorization", "content-type")
_TIMEOUT_SECONDS: Final = 30.0


class Balancer:
    """Passes on GET and POST whose answers are JSON objects, in turn to each of the nodes.

    A node that cannot be connected to is passed over, and asked again when its turn comes. A call that a node took and
    did not answer is 502, for it may have been accepted.
    """

    def __init__(self, nodes: Sequence[str]) -> None:
        """``nodes`` are their URLs."""
        self._nodes = tuple(nodes)
        self._turn = 0
        self._lock = threading.Lock()
        self._answered: Counter[str] = Counter()
        # A connection that is kept could lead to a node that has ended meanwhile.
        self._http = httpx.Client(
            trust_env=False,
            timeout=_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._server = HttpServer(
            "127.0.0.1",
            0,
            handle=lambda request: self._pass_on("POST", request),
            handle_get=lambda request: self._pass_on("GET", request),
            max_body_bytes=MAX_BODY_BYTES,
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return self._server.url

    @property
    def answered(self) -> Counter[str]:
        """How many calls each node has answered, by its URL."""
        with self._lock:
            return self._answered.copy()

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop()
        self._http.close()

    def _pass_on(self, method: str, request: Request) -> Answer:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        for node in self._in_turn():
            try:
                answer = self._http.request(
                    method, f"{node}{request.path}", content=request.body, headers=headers
                )
            except httpx.ConnectError:
                continue
            except httpx.TransportError as error:
                return Answer(502, {"error": f"{node} took the call and did not answer: {error}"})
            with self._lock:
                self._answered[node] += 1
            return Answer(answer.status_code, answer.json())
        return Answer(503, {"error": "no node answers"})

    def _in_turn(self) -> Iterator[str]:
        with self._lock:
            first = self._turn
            self._turn = (first + 1) % len(self._nodes)
        yield from self._nodes[first:]
        yield from self._nodes[:first]
