"""A websocket on its way to a replica: the slot that it waits for and holds, and what the model server says to the handshake."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from ...contract import limits
from ...replicas.protocol import ReplicaUnreachableError
from ...replicas.request_headers import carried_request_id
from ...replicas.sockets import SocketCall, SocketRefusedError
from .asking import take_slot
from .made_refusals import OF_SYNC_CALLS, refuse_by_fault
from .refusals import ApiErrorCode, CallRefusedError
from .sync_calls import passed_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...replicas.sockets import ReplicaSocket
    from ..deployment import Deployment
    from .calls import ApiParts, IncomingCall

_OF_THE_HANDSHAKE: Final = "sec-websocket-"


async def without_handshake(parts: ApiParts, call: IncomingCall) -> None:
    """Open a websocket to the model."""
    parts.deployments.find(call.named)
    raise CallRefusedError(
        426,
        ApiErrorCode.CLIENT_ERROR,
        "this path is for websockets; connect with a websocket client, to a URL that starts with ws://",
        headers={"Upgrade": "websocket"},
    )


def called_deployment(parts: ApiParts, call: IncomingCall) -> Deployment:
    """The deployment that a websocket is for.

    Raises:
        CallRefusedError: there is none, none takes a websocket at this path, or a fault refuses the call.
    """
    if not call.operation.takes_websocket:
        raise CallRefusedError(
            400,
            ApiErrorCode.CLIENT_ERROR,
            f"no websocket at {call.request.scope['path']}; a model's is at …/websocket, or at …/sync/ROUTE",
        )
    deployment = parts.deployments.find(call.named)
    if call.is_inner:
        call.request_id = carried_request_id(call.request.headers) or call.request_id
    refuse_by_fault(parts, call, deployment, kinds=OF_SYNC_CALLS)
    return deployment


async def open_to_model(
    parts: ApiParts,
    call: IncomingCall,
    deployment: Deployment,
    *,
    subprotocols: Sequence[str],
    held: ExitStack,
) -> ReplicaSocket:
    """A websocket to a replica, which may have to load first, in a task of the activity's; ``held`` lets go of its slot.

    Raises:
        CallRefusedError: no replica took it in time, or it opens none.
    """
    activity = parts.model_calls.activity
    try:
        if not deployment.has_replicas:
            return await parts.other_nodes.connect(
                call, deployment, without=_OF_THE_HANDSHAKE, subprotocols=subprotocols
            )
        replica = await take_slot(deployment, activity=activity)
        held.callback(deployment.pool.release, replica, by_call=True)
        asked = SocketCall(
            [
                each
                for each in passed_on(call, deployment)
                if not each[0].lower().startswith(_OF_THE_HANDSHAKE)
            ],
            subprotocols=subprotocols,
            query=call.request.scope["query_string"].decode("latin-1"),
            route=call.values.get("route"),
        )
        return await activity.outside(limits.SYNC_TIMEOUT_SECONDS, replica.connect(asked))
    except TimeoutError:
        message = f"the model did not open the websocket within {limits.SYNC_TIMEOUT_SECONDS} s"
        raise CallRefusedError(504, ApiErrorCode.TIMEOUT, message) from None
    except SocketRefusedError as refusal:
        raise CallRefusedError(refusal.status, ApiErrorCode.MODEL_UNAVAILABLE, str(refusal)) from None
    except ReplicaUnreachableError as error:
        message = f"the model server cannot be reached: {error}"
        raise CallRefusedError(502, ApiErrorCode.MODEL_UNAVAILABLE, message) from None
