"""A sync call on its way to a replica: the slot that it may have to wait for, and its repetitions."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...contract import limits
from ...replicas.protocol import WITHOUT_BODY, ReplicaUnreachableError
from ..decisions import next_sync_delay
from .refusals import ApiErrorCode, CallRefusedError, no_room

if TYPE_CHECKING:
    from ...replicas.protocol import Replica, ReplicaAnswer, ReplicaCall
    from ..activity import Activity
    from ..deployment import Deployment

WHOLE_BYTES = 1_000_000
_HEADER_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_NOT_IN_HEADERS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the model answered, after so many attempts (None: that is not told); its body, when that is of a size that
    it tells and no burden.
    """

    answer: ReplicaAnswer
    body: bytes | None
    attempts: int | None


class ModelCalls:
    """Brings sync calls to replicas as the platform's routing layer does; ``report`` is told of the first repetition."""

    def __init__(self, *, activity: Activity, repeats: bool, report: Callable[[str], None]) -> None:
        self.activity = activity
        self._repeats = repeats
        self._report = report
        self._has_told = False

    async def answer(
        self, call: ReplicaCall, deployment: Deployment, request_id: str, held: ExitStack
    ) -> Answered:
        """Ask until an answer stands, in a task of the activity's; ``held`` lets go of the answer, and of its slot.

        Raises:
            CallRefusedError: no replica took the call in time, or what came is no answer of HTTP.
            ReplicaUnreachableError: no answer came.
        """
        asking = _Asking(call, deployment, request_id, held, activity=self.activity)
        began = self.activity.now()
        repeats = self._repeats and not asking.is_spent_by_one_attempt
        while True:
            said = await asking.attempt()
            if repeats and asking.may_pass(said):
                elapsed = (self.activity.now() - began).total_seconds()
                delay = next_sync_delay(
                    attempts_made=asking.attempts,
                    elapsed_seconds=elapsed,
                    is_unreachable=isinstance(said, ReplicaUnreachableError),
                )
                if delay is not None:
                    self._tell_once(said)
                    held.close()
                    with deployment.pool.counting_a_call():
                        await self.activity.sleep(delay)
                    continue
            if isinstance(said, ReplicaUnreachableError):
                raise said
            return said

    def _tell_once(self, said: Answered | ReplicaUnreachableError) -> None:
        if self._has_told:
            return
        self._has_told = True
        what = (
            f"the model answered {said.answer.status} to a sync call"
            if isinstance(said, Answered)
            else f"the model server did not answer a sync call ({said})"
        )
        self._report(
            f"{what}; such calls are retried for up to 15 minutes, as on the platform; --no-sync-retries turns this off"
        )


async def take_slot(deployment: Deployment, *, activity: Activity) -> Replica:
    """A replica with room for a call, which the pool gets back; in a task of the activity's.

    Raises:
        CallRefusedError: there is none, and waiting is of no use, not wanted, or was in vain.
    """
    pool = deployment.pool
    if pool.has_room:
        return await pool.acquire()
    if pool.state == "failed":
        message = pool.last_error or "the model did not load"
        raise CallRefusedError(503, ApiErrorCode.MODEL_UNAVAILABLE, message)
    if deployment.settings.on_full == "reject":
        pool.turn_away()
        raise no_room("calls do not wait with --on-full reject")
    try:
        return await activity.outside(limits.PARKING_TIMEOUT_SECONDS, pool.acquire())
    except TimeoutError:
        message = f"no replica became available within {limits.PARKING_TIMEOUT_SECONDS} s"
        raise CallRefusedError(500, ApiErrorCode.TIMEOUT, message) from None


class _Asking:
    """The attempts of one sync call, one after the other."""

    def __init__(
        self,
        call: ReplicaCall,
        deployment: Deployment,
        request_id: str,
        held: ExitStack,
        *,
        activity: Activity,
    ) -> None:
        self._call = call
        self._deployment = deployment
        self._request_id = request_id
        self._held = held
        self._activity = activity
        self._order: int | None = None
        self.attempts = 0

    @property
    def is_spent_by_one_attempt(self) -> bool:
        """Its body is passed on while it comes in, and is gone then."""
        return not (self._call.body is None or isinstance(self._call.body, bytes))

    @staticmethod
    def may_pass(said: Answered | ReplicaUnreachableError) -> bool:
        """Whether it is of the failures that the platform expects to be over soon."""
        return isinstance(said, ReplicaUnreachableError) or said.answer.status in limits.SYNC_RETRY_STATUSES

    async def attempt(self) -> Answered | ReplicaUnreachableError:
        """Ask a replica: parking and predicting are timed apart."""
        self.attempts += 1
        replica = await take_slot(self._deployment, activity=self._activity)
        self._held.callback(self._deployment.pool.release, replica, by_call=True)
        try:
            return await self._activity.outside(limits.SYNC_TIMEOUT_SECONDS, self._ask(replica))
        except TimeoutError:
            message = f"the model did not answer within {limits.SYNC_TIMEOUT_SECONDS} s"
            raise CallRefusedError(504, ApiErrorCode.TIMEOUT, message) from None
        except ReplicaUnreachableError as error:
            return error

    async def _ask(self, replica: Replica) -> Answered:
        """What comes as a whole is awaited as a whole, so that an answer that breaks off is a failure of this attempt."""
        faulty = self._deployment.faulty
        if faulty.are_armed:
            self._order = self._order or faulty.next_sync_call()
            ask = await faulty.of_sync_call(
                replica, self._request_id, order=self._order, attempt=self.attempts
            )
        else:
            ask = replica.call
        answer = await ask(self._call)
        self._held.callback(answer.close)
        size = _checked_size(answer)
        if size is None or size > WHOLE_BYTES:
            return Answered(answer, None, self.attempts)
        body = await answer.read()
        if self._call.method != "HEAD" and len(body) != size:
            raise _unfit(f"has {len(body)} bytes, and announces {size}")
        return Answered(answer, body, self.attempts)


def _checked_size(answer: ReplicaAnswer) -> int | None:
    """How large the body of an answer is, if the answer tells.

    Raises:
        CallRefusedError: 502, this cannot be sent as an answer of HTTP.
    """
    if not 200 <= answer.status <= 599:
        raise _unfit(f"has the status {answer.status}, which HTTP does not know")
    sizes = []
    for name, value in answer.headers:
        if not _HEADER_NAME.fullmatch(name) or _NOT_IN_HEADERS.search(value):
            raise _unfit(f"has a header that HTTP does not allow: {name[:40]!a}")
        if name.lower() == b"content-length":
            sizes.append(value)
    if answer.status in WITHOUT_BODY:
        return 0
    if not sizes:
        return None
    if len(set(sizes)) > 1 or not sizes[0].isdigit():
        raise _unfit("does not tell its size in a number")
    return int(sizes[0])


def _unfit(reason: str) -> CallRefusedError:
    message = f"the model's answer cannot be passed on: it {reason}"
    return CallRefusedError(502, ApiErrorCode.MODEL_UNAVAILABLE, message)
