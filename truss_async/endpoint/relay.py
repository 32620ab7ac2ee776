"""Hands each result, as it comes, to who waits for it over server-sent events: ``GET /results/{request_id}``."""

from __future__ import annotations

import hmac
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from ..contract.own_names import host_of
from ..contract.webhook_urls import is_loopback
from ..errors import OutputStoreError, SettingsError
from ..webhooks.http_server import Answer

if TYPE_CHECKING:
    from ..webhooks.http_server import EventStream, Request

RESULTS: Final = "/results"
MOST_WAITING: Final = 256
"""Clients that wait at one time: each has a connection, and a thread; there must be some left for webhooks."""
KEEP_ALIVE_SECONDS: Final = 10.0
_LONGEST_ID: Final = 256
_AUTHORIZATION: Final = ("api-key ", "bearer ")
# Whoever has come through one is not known to be on this machine.
_OF_PROXIES: Final = frozenset({"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip"})
_OF_PAGES: Final = frozenset({"origin", "sec-fetch-site"})


class Relay:
    """Answers GETs of a webhook endpoint. ``find`` is where results are kept, so nothing is held in memory.

    Callers prove themselves by ``key``; without one, only programs on this machine are answered. Safe to share between
    threads.
    """

    def __init__(
        self,
        find: Callable[[str], bytes | None],
        *,
        key: str | None,
        most_waiting: int = MOST_WAITING,
        keep_alive_seconds: float = KEEP_ALIVE_SECONDS,
    ) -> None:
        self._find = find
        self._key = key
        self._most_waiting = most_waiting
        self._keep_alive_seconds = keep_alive_seconds
        self._waiting: dict[str, set[_Waiter]] = {}
        self._count = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def hand_over(self, request_id: str, body: bytes) -> None:
        """Give a result that is kept already to all who wait for it."""
        with self._lock:
            waiters = list(self._waiting.get(request_id, ()))
        for each in waiters:
            each.arrivals.put(body)

    def answer(self, request: Request) -> Answer | EventStream:
        """The answer to a GET: the events of one request, or why there are none."""
        refusal = self._refusal(request.headers)
        if refusal is not None:
            return refusal
        path = urlsplit(request.path).path
        if path == RESULTS:
            return Answer(204, {})
        request_id = unquote(path.removeprefix(f"{RESULTS}/"))
        if not path.startswith(f"{RESULTS}/") or not 0 < len(request_id) <= _LONGEST_ID:
            return Answer(404, {"error": f"GET {RESULTS}/REQUEST_ID waits for the result of a request"})
        waiter = self._enlisted(request_id)
        if waiter is None:
            return Answer(
                503, {"error": f"{self._most_waiting} clients are waiting already; try again later"}
            )
        return waiter

    def close(self) -> None:
        """Let all who wait go; nobody waits any more."""
        with self._lock:
            self._is_closed = True
            waiters = [each for several in self._waiting.values() for each in several]
        for each in waiters:
            each.arrivals.put(None)

    def leave(self, waiter: _Waiter) -> None:
        """Somebody waits no more."""
        with self._lock:
            waiters = self._waiting.get(waiter.request_id, set())
            self._count -= waiter in waiters
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(waiter.request_id, None)

    def _enlisted(self, request_id: str) -> _Waiter | None:
        """None: there is no room for another one, or it is over."""
        waiter = _Waiter(self, request_id, self._find, keep_alive_seconds=self._keep_alive_seconds)
        with self._lock:
            if self._is_closed or self._count >= self._most_waiting:
                return None
            self._count += 1
            self._waiting.setdefault(request_id, set()).add(waiter)
        return waiter

    def _refusal(self, headers: Mapping[str, str]) -> Answer | None:
        if self._key is not None:
            given = headers.get("authorization", "")
            if any(given.lower().startswith(each) for each in _AUTHORIZATION) and hmac.compare_digest(
                given.partition(" ")[2].strip().encode(errors="surrogateescape"), self._key.encode()
            ):
                return None
            return Answer(401, {"error": "send the relay key: Authorization: Api-Key KEY"})
        host = host_of(headers.get("host", "")) or ""
        if not is_loopback(host) or headers.keys() & (_OF_PROXIES | _OF_PAGES):
            return Answer(
                403, {"error": "without --relay-key, results are served only to programs on this machine"}
            )
        return None


class _Waiter:
    """The events of one client. It is enlisted before it looks at what is kept, so nothing comes in between."""

    def __init__(
        self, relay: Relay, request_id: str, find: Callable[[str], bytes | None], *, keep_alive_seconds: float
    ) -> None:
        self.request_id = request_id
        self.arrivals: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._relay = relay
        self._find = find
        self._keep_alive_seconds = keep_alive_seconds

    def __iter__(self) -> Iterator[bytes]:
        yield b"retry: 1000\n: waiting\n\n"
        try:
            body = self._find(self.request_id)
        except OutputStoreError:
            yield b": what is kept cannot be read now; come again\n\n"
            return
        while body is None:
            try:
                body = self.arrivals.get(timeout=self._keep_alive_seconds)
            except queue.Empty:
                yield b": waiting\n\n"
                continue
            if body is None:
                return  # the relay ends; another one may go on
        yield event(body)

    def close(self) -> None:
        self._relay.leave(self)


def event(body: bytes) -> bytes:
    """The result as an event; its lines, if it has several, are joined again by who reads it."""
    lines = b"".join(b"data: %b\n" % line for line in body.splitlines())
    return b"event: result\n%b\n" % lines


def check_key(key: str | None, *, host: str) -> None:
    """Refuse to relay without a key to those beyond this machine, who may give any Host.

    Raises:
        SettingsError: there is none, and they can reach it.
    """
    if key is None and not is_loopback(host):
        raise SettingsError(f"--relay on {host} can be reached by others: set a key with --relay-key")
