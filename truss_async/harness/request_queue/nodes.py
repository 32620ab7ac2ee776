"""The harnesses that share a queue, as each of them tells the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Node:
    """A harness whose lease lasts. The others call it at ``url``, which has no slash at its end.

    ``replicas``: how many it has at most, by the path of each deployment, ``/model/ID/deployment/ID``.
    """

    url: str
    replicas: Mapping[str, int]


class NodeList(Protocol):
    """Who is there; every harness is in it from its first renewal on, and until its lease ends."""

    own: Node | None
    """What the others are to know of this one; None: nothing."""

    async def all(self) -> list[Node]:
        """Those whose lease lasts, the latest first, this one among them.

        Raises:
            RequestQueueError: the storage fails.
        """

    async def seen_from(self) -> str | None:
        """The address that this machine has for the storage; None: it is on the same machine.

        Raises:
            RequestQueueError: the storage fails.
        """
