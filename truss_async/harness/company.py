"""What a harness does that shares its queue: it keeps its lease, hears the others, and tells them what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .api import path_of
from .lease_keeper import LeaseKeeper
from .neighbours import Neighbours
from .request_queue.nodes import Node
from .running import address, is_of_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from .deployment import Deployment, Shared
    from .kept_state import KeptState
    from .lease_keeper import Worker
    from .settings import HarnessSettings


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
    replicas = {path_of(each): each.settings.replicas for each in deployments}
    state.nodes.own = Node(url or address(listening), replicas)


def workers_of_several(
    shared: Shared, state: KeptState, deployments: Sequence[Deployment], *, others: Sequence[Worker]
) -> list[LeaseKeeper | Neighbours]:
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
    if state.hints is None:
        return [keeper]
    neighbours = Neighbours(
        state.hints,
        on_queued={each.id: each.note_queued for each in deployments},
        on_farewell=keeper.hurry,
        activity=shared.activity,
    )
    return [keeper, neighbours]
