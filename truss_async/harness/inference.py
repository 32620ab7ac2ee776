"""One inference attempt: POST the model input to a replica, and judge what it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..contract import ErrorCode, limits
from ..replicas.protocol import WITHOUT_BODY, ReplicaCall, ReplicaUnreachableError
from ..replicas.request_headers import new_span_id
from .decisions import Busy, Failed, ModelAnswer, Outcome, failure, judge_answer
from .tracing import INFERENCE

if TYPE_CHECKING:
    from ..replicas.protocol import Ask, Replica
    from ..replicas.request_headers import RequestHeaders
    from .activity import Activity
    from .faults import FaultyCalls
    from .request_queue import ClaimedRequest
    from .tracing import Tracing


class Inference:
    """Makes the attempts of one deployment; a fault may strike them."""

    def __init__(
        self,
        deployment_id: str,
        *,
        activity: Activity,
        headers: RequestHeaders,
        faulty: FaultyCalls,
        tracing: Tracing | None = None,
    ) -> None:
        self._deployment_id = deployment_id
        self._activity = activity
        self._headers = headers
        self._faulty = faulty
        self._tracing = tracing

    async def attempt(self, request: ClaimedRequest, replica: Replica) -> Outcome:
        """What came of calling the model once."""
        span_id = new_span_id()
        if self._tracing is None:
            return await self._called(request, replica, span_id=span_id)
        began = self._activity.now()
        outcome = await self._called(request, replica, span_id=span_id)
        self._tracing.attempt_over(
            INFERENCE,
            request.request_id,
            at=self._activity.time_of_day(began),
            took=self._activity.now() - began,
            problem=_problem_of(outcome),
            attributes={
                "baseten.model_id": request.accepted.model_id,
                "baseten.deployment_id": self._deployment_id,
                "truss_async.attempt": request.attempts_made + 1,
                "truss_async.replica": replica.name,
            },
            span_id=span_id,
        )
        return outcome

    async def _called(self, request: ClaimedRequest, replica: Replica, *, span_id: str) -> Outcome:
        try:
            ask = await self._faulty_ask(request, replica) if self._faulty.are_armed else replica.call
            answer = await self._activity.outside(
                limits.INFERENCE_TIMEOUT_SECONDS, self._post(request, ask, span_id=span_id)
            )
        except TimeoutError:
            hours = limits.INFERENCE_TIMEOUT_SECONDS / 3600
            message = f"the inference attempt took longer than {hours:g} h"
            return failure(ErrorCode.MODEL_PREDICT_TIMEOUT, message, retry=True)
        except ReplicaUnreachableError as error:
            message = f"the model server did not answer: {error}"
            return failure(ErrorCode.MODEL_UNAVAILABLE, message, retry=True)
        return judge_answer(answer)

    async def _faulty_ask(self, request: ClaimedRequest, replica: Replica) -> Ask:
        return await self._faulty.of_request(
            replica,
            request.request_id,
            order=request.order,
            attempt=request.attempts_made + 1,
            hang=lambda: self._activity.sleep(limits.INFERENCE_TIMEOUT_SECONDS),
        )

    async def _post(self, request: ClaimedRequest, ask: Ask, *, span_id: str) -> ModelAnswer:
        own = self._headers.of(request.request_id, span_id=span_id)
        headers = (("Content-Type", "application/json"), *own)
        answer = await ask(ReplicaCall(headers, request.model_input))
        try:
            told = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            is_stream = (
                "content-length" not in told
                and "json" not in told.get("content-type", "")
                and answer.status < 300
                and answer.status not in WITHOUT_BODY
            )
            return ModelAnswer(
                status=answer.status,
                headers=told,
                body=b"" if is_stream else await answer.read(),
                is_stream=is_stream,
            )
        finally:
            answer.close()


def _problem_of(outcome: Outcome) -> str | None:
    """Why an attempt came to nothing; None when it did not."""
    match outcome:
        case Failed(error):
            return error.code
        case Busy():
            return "the model server was busy"
    return None
