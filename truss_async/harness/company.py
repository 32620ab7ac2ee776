"""What a harness does that shares its queue: it keeps its lease, hears the others, and tells them what it is."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from .api import path_of
from .lease_keeper import LeaseKeeper
from .neighbours import Neighbours
from .request_queue import RequestQueueError
from .request_queue.nodes import Node, NodeReplicas
from .running import address, is_of_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from .activity import Activity
    from .deployment import Deployment, Shared
    from .kept_state import KeptState
    from .lease_keeper import Worker
    from .request_queue.nodes import NodeList
    from .settings import HarnessSettings

LOOK_SECONDS: Final = 1.0


async def introduce(
    state: KeptState,
    settings: HarnessSettings,
    deployments: Sequence[Deployment],
    *,
    listening: socket.socket,
    report: Callable[[str], None],
) -> None:
    """Let the others know this harness from its first renewal on, and a person, what runs nowhere here.

    Raises:
        RequestQueueError: the storage fails.
    """
    if idle := [each.id for each in deployments if not each.has_replicas]:
        runs = (
            "others on the database run them" if state.nodes else "they wait until it is served with replicas"
        )
        report(
            f"no replicas of {', '.join(idle)} run here: it only accepts requests and delivers results; {runs}"
        )
    if state.nodes is None:
        return
    url = str(settings.node_url or "").rstrip("/")
    if not url and is_of_all(listening):
        url = address(listening, seen_as=await state.nodes.seen_from())
        report(f"other harnesses on the database call this one at {url}; --node-url gives another address")
    url = url or address(listening)

    def own() -> Node:
        replicas = {
            path_of(each): NodeReplicas(each.settings.replicas, each.pool.state) for each in deployments
        }
        return Node(url, replicas)

    state.nodes.own = own


class Presence:
    """Tells the others soon when replicas have come, or do not load."""

    def __init__(self, nodes: NodeList, *, activity: Activity) -> None:
        self._nodes = nodes
        self._activity = activity

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            with contextlib.suppress(RequestQueueError):  # at the next renewal it is told
                await self._nodes.tell()
            await self._activity.sleep(LOOK_SECONDS)


def workers_of_several(
    shared: Shared, state: KeptState, deployments: Sequence[Deployment], *, others: Sequence[Worker]
) -> list[LeaseKeeper | Neighbours | Presence]:
    """What there is to do for a queue that others work on, too."""
    if shared.queue.lease_seconds is None:
        return []
    keeper = LeaseKeeper(
        queue=shared.queue,
        lease_seconds=shared.queue.lease_seconds,
        workers=[
            shared.delivery,
            *(each.dispatcher for each in deployments if each.has_replicas),
            *others,
        ],
        activity=shared.activity,
        report=shared.report,
    )
    if state.hints is None or state.nodes is None:
        return [keeper]
    neighbours = Neighbours(
        state.hints,
        on_queued={each.id: each.note_queued for each in deployments},
        on_farewell=keeper.hurry,
        activity=shared.activity,
    )
    return [keeper, neighbours, Presence(state.nodes, activity=shared.activity)]
