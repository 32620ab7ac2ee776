"""The harnesses that share a queue, as each of them tells the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from ...contract.harness_calls import ModelState


class NodeReplicas(NamedTuple):
    """How many replicas of a deployment a node has at most, and how they are."""

    most: int
    state: ModelState


@dataclass(frozen=True, slots=True)
class Node:
    """A harness whose lease lasts. The others call it at ``url``, which has no slash at its end.

    ``replicas`` are by the path of each deployment, ``/model/ID/deployment/ID``.
    """

    url: str
    replicas: Mapping[str, NodeReplicas]


class NodeList(Protocol):
    """Who is there; every harness is in it from its first renewal on, and until its lease ends."""

    own: Callable[[], Node] | None
    """What the others are to know of this one now; None: nothing."""

    async def all(self) -> list[Node]:
        """Those whose lease lasts, the latest first, this one among them.

        Raises:
            RequestQueueError: the storage fails.
        """

    async def tell(self) -> None:
        """Let the others know at once what has changed of this one; at each renewal they are told anyway.

        Raises:
            RequestQueueError: the storage fails.
        """

    async def seen_from(self) -> str | None:
        """The address that this machine has for the storage; None: it is on the same machine.

        Raises:
            RequestQueueError: the storage fails.
        """
