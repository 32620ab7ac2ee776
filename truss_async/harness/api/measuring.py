"""What is measured of a sync call: from the moment when its deployment is known, until its answer is sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .bodies import declared_size

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from ...clock import Clock
    from ..deployment import Deployment
    from ..metrics import DeploymentMetrics
    from .calls import ApiParts, IncomingCall


def deployment_called(parts: ApiParts, call: IncomingCall) -> Deployment:
    """The deployment that a call means; from now on it is measured as one of its inferences."""
    deployment = parts.deployments.find(call.named)
    call.measured = partial(_measured, deployment.metrics, parts.clock, parts.clock.now())
    deployment.metrics.request_came(size_bytes=declared_size(call.request) or 0)
    return deployment


def _measured(metrics: DeploymentMetrics, clock: Clock, started_at: datetime, answer: ASGIApp) -> ASGIApp:
    async def send_measured(scope: Scope, receive: Receive, send: Send) -> None:
        status: int | None = None
        sent_bytes = 0

        async def counted_send(message: Message) -> None:
            nonlocal status, sent_bytes
            status = message.get("status", status)
            sent_bytes += len(message.get("body", b""))
            await send(message)

        try:
            await answer(scope, receive, counted_send)
        finally:
            if status is not None:
                took = clock.now() - started_at
                metrics.inference_over(status=status, is_async=False, took=took, response_bytes=sent_bytes)

    return send_measured
