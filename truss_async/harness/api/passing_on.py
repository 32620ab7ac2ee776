"""Sync calls of a deployment that has no replicas here: another harness on the same queue, which has some, answers them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ...clock import SYSTEM_CLOCK
from ...contract import limits
from ...contract.headers import PASSED_ON, PREDICTION_ATTEMPTS, REQUEST_ID
from ...errors import HarnessError
from ...replicas.protocol import ReplicaCall, ReplicaUnreachableError
from ...replicas.sockets import SocketCall
from .asking import Answered
from .calls import REST
from .deployments import path_of, served_by
from .refusals import ApiErrorCode, CallRefusedError

if TYPE_CHECKING:
    from ...contract.harness_calls import ModelState
    from ...replicas.http_calls import HttpAnswer, HttpCalls
    from ...replicas.sockets import ReplicaSocket
    from ..activity import Activity
    from ..deployment import Deployment
    from ..request_queue.nodes import Node, NodeList
    from .calls import IncomingCall

T = TypeVar("T")

KNOWN_FOR: Final = timedelta(seconds=1)
"""So long it is not asked again who is there; of one that ends meanwhile, the call goes to the next."""
LOOK_AGAIN_SECONDS: Final = 2.0
"""So often it is looked whether the lease of a harness lasts whose answer is awaited."""
_LONGEST_SECONDS: Final = (
    limits.PARKING_TIMEOUT_SECONDS + limits.SYNC_TIMEOUT_SECONDS + limits.SYNC_RETRIES_END_SECONDS
)
"""The other harness has its own, shorter limits; this one is for when it does not keep them."""
_RANKS: Final[Mapping[ModelState, int]] = {"ready": 0, "scaled_to_zero": 1, "starting": 1, "failed": 2}
_NOT_PASSED_ON: Final = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "host", "expect", PASSED_ON.lower(),
}  # fmt: skip


class OtherNodes:
    """Passes calls on to the harnesses in ``nodes`` in turn; None: there are no others.

    Each is passed on once at most: a harness to which a call was passed on answers it itself, or refuses it.
    """

    def __init__(self, nodes: NodeList | None, *, http: HttpCalls, activity: Activity, repeats: bool) -> None:
        self._nodes = nodes
        self._http = http
        self._activity = activity
        self._repeats = repeats
        self._known: list[Node] = []
        self._known_until = activity.now()
        self._asking = asyncio.Lock()
        self._turn = itertools.count()

    async def answer(
        self, passed: ReplicaCall, call: IncomingCall, deployment: Deployment, held: ExitStack
    ) -> Answered:
        """What another harness answers, in a task of the activity's; ``held`` lets go of it.

        The call then goes by the id that it has there. One that does not answer is passed over, unless the call may
        have been made there and is not to be repeated.

        Raises:
            CallRefusedError: there is none, or none answers.
        """
        asked = ReplicaCall(_headers(call), passed.body, method=passed.method, route=_path(call, deployment))
        may_repeat = self._repeats and isinstance(passed.body, bytes | None)
        answer = await self._passed(
            call,
            deployment,
            lambda node: self._http.send(asked, predict_url="", base_url=node.url),
            is_over=lambda error: error.was_asked and not may_repeat,
        )
        held.callback(answer.close)
        return _answered(answer, call)

    async def connect(
        self, call: IncomingCall, deployment: Deployment, *, without: str, subprotocols: Sequence[str]
    ) -> ReplicaSocket:
        """A websocket to another harness, which passes it through to its model; ``without`` headers that begin so.

        Raises:
            CallRefusedError: there is none, or none answers.
            SocketRefusedError: it opens none.
        """
        query = call.request.scope["query_string"].decode("latin-1")
        passed = [each for each in _headers(call) if not each[0].lower().startswith(without)]
        asked = SocketCall(passed, subprotocols, query=query, route=_path(call, deployment, query=""))
        return await self._passed(
            call,
            deployment,
            lambda node: self._http.connect(asked, websocket_url="", base_url=node.url),
            is_over=lambda _: False,
        )

    async def _passed(
        self,
        call: IncomingCall,
        deployment: Deployment,
        ask: Callable[[Node], Coroutine[Any, Any, T]],
        *,
        is_over: Callable[[ReplicaUnreachableError], bool],
    ) -> T:
        """What the first of them says that says anything; of those that come to be known meanwhile, too."""
        tried = set[str]()
        told: ReplicaUnreachableError | None = None
        while nodes := await self._that_serve(call, deployment, tried):
            for node in nodes:
                tried.add(node.url)
                try:
                    return await self._while_there(node, ask(node))
                except ReplicaUnreachableError as error:
                    told = error
                    if is_over(error):
                        raise _unanswered(deployment, told) from None
        raise _unanswered(deployment, told)

    async def _while_there(self, node: Node, ask: Coroutine[Any, Any, T]) -> T:
        """What it says, unless its lease ends first."""
        sending = asyncio.ensure_future(ask)
        leaving = asyncio.ensure_future(self._left(node))
        try:
            await self._activity.outside(_LONGEST_SECONDS, _first_of(sending, leaving))
            if sending.done():
                return sending.result()
            raise ReplicaUnreachableError(f"the harness at {node.url} has lost its lease")
        except TimeoutError:
            message = f"the harness at {node.url} did not answer within {_LONGEST_SECONDS} s"
            raise CallRefusedError(504, ApiErrorCode.TIMEOUT, message) from None
        finally:
            sending.cancel()
            leaving.cancel()
            await _all_of(sending, leaving)

    async def _left(self, node: Node) -> None:
        """Return when its lease has ended: it is stopped or cut off, and would never tell."""
        while self._nodes is not None:
            await SYSTEM_CLOCK.sleep(LOOK_AGAIN_SECONDS)
            if node.url not in {each.url for each in await self._others(self._nodes)}:
                return

    async def _that_serve(
        self, call: IncomingCall, deployment: Deployment, tried: AbstractSet[str]
    ) -> list[Node]:
        """Each that was not tried: first those that can answer at once, in turn; last those whose model does not load."""
        what = f"{served_by(deployment)} (deployment {deployment.id})"
        if self._nodes is None:
            raise _unavailable(
                f"this harness runs no replicas of the {what} (--replicas 0), and shares its queue with no others; "
                "send sync calls to a harness that has replicas"
            )
        if PASSED_ON in call.request.headers or call.is_inner:
            raise _unavailable(
                f"this harness runs no replicas of the {what} (--replicas 0), and does not pass on what "
                f"{'a chainlet calls' if call.is_inner else 'another harness has passed on'}; serve it with replicas here"
            )
        path = path_of(deployment)
        if tried:
            self._known_until = self._activity.now()
        others = await self._others(self._nodes)
        found = [node for node in others if _has(node, path) and node.url not in tried]
        if not found and tried:
            return []
        if not found:
            raise _unavailable(
                f"no harness on this database runs replicas of the {what} now; start one, "
                "with the same command without --replicas 0"
            )
        first = next(self._turn) % len(found)
        return sorted(found[first:] + found[:first], key=lambda node: _RANKS[node.replicas[path].state])

    async def _others(self, nodes: NodeList) -> list[Node]:
        """Those that are known; those that were, while the storage is away."""
        async with self._asking:
            now = self._activity.now()
            if now >= self._known_until:
                try:
                    by_url = {
                        node.url: node for node in reversed(await nodes.all())
                    }  # of one URL, the latest
                except HarnessError:
                    if not self._known:
                        raise
                else:
                    by_url.pop(nodes.own().url if nodes.own else "", None)
                    self._known = [
                        node for node in by_url.values() if any(each.most for each in node.replicas.values())
                    ]
                if self._known:
                    self._known_until = self._activity.now() + KNOWN_FOR
        return self._known


def _has(node: Node, path: str) -> bool:
    return path in node.replicas and node.replicas[path].most > 0


async def _first_of(*tasks: asyncio.Future[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)


async def _all_of(*tasks: asyncio.Future[Any]) -> None:
    await asyncio.wait(tasks)


def _path(call: IncomingCall, deployment: Deployment, *, query: str | None = None) -> str:
    """Where the other harness has the same, below its root, and named by ids alone."""
    if query is None:
        query = call.request.scope["query_string"].decode("latin-1")
    path = call.operation.path.replace(REST, call.values.get("route", ""))
    return f"{path_of(deployment)}{path}".lstrip("/") + (f"?{query}" if query else "")


def _headers(call: IncomingCall) -> list[tuple[str, str]]:
    """The caller's, with which the other harness sees who calls."""
    passed = [
        (name.decode("latin-1"), value.decode("utf-8", "replace"))
        for name, value in call.request.headers.raw
        if name.decode("latin-1").lower() not in _NOT_PASSED_ON
    ]
    return [*passed, (PASSED_ON, "1")]


def _answered(answer: HttpAnswer, call: IncomingCall) -> Answered:
    told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
    call.request_id = told.get(REQUEST_ID.lower(), call.request_id)
    attempts = told.get(PREDICTION_ATTEMPTS.lower(), "")
    return Answered(answer, None, int(attempts) if attempts.isdecimal() else None)


def _unanswered(deployment: Deployment, told: ReplicaUnreachableError | None) -> CallRefusedError:
    return _unavailable(
        f"no harness that runs replicas of the {served_by(deployment)} answers: {told}; check that the nodes reach each "
        "other at their --node-url"
    )


def _unavailable(message: str) -> CallRefusedError:
    return CallRefusedError(503, ApiErrorCode.MODEL_UNAVAILABLE, message)
