"""Cloud clients: slow to make, safe to share, so made once in a process and kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from .credentials import StoreCredentials

Client = TypeVar("Client")


class ClientCache(Generic[Client]):
    """One client for each set of credentials, whichever thread asks first.

    ``environment`` names the beginnings of the variables that the cloud library reads when it makes a client: a
    process that changes one of them gets another client.
    """

    def __init__(self, make: Callable[[StoreCredentials], Client], *, environment: tuple[str, ...]) -> None:
        self._make = make
        self._environment = environment
        self._clients: dict[tuple[StoreCredentials, frozenset[tuple[str, str]]], Client] = {}
        self._lock = threading.Lock()

    def get(self, credentials: StoreCredentials) -> Client:
        read = frozenset(item for item in os.environ.items() if item[0].startswith(self._environment))
        with self._lock:
            client = self._clients.get((credentials, read))
            if client is None:
                client = self._clients[credentials, read] = self._make(credentials)
            return client

    def forget(self, client: Client) -> None:
        """Make another one for the next who asks; whoever has this one may go on using it."""
        with self._lock:
            self._clients = {key: each for key, each in self._clients.items() if each is not client}
