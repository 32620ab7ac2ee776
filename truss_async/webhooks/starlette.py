"""For Starlette and FastAPI: the verified result of a request."""

# No postponed annotations here: FastAPI reads those of the dependency, and they name a class that is imported late.

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any

from ..contract import AsyncPredictResult
from ..contract.limits import MAX_BODY_BYTES, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import WebhookVerificationError
from .verifier import WebhookVerifier


def starlette_webhook(
    secrets: Iterable[str] | str | None = None,
    *,
    tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS,
    now: datetime | Callable[[], datetime] | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Callable[[Any], Awaitable[AsyncPredictResult]]:
    """A FastAPI dependency, ``Depends(starlette_webhook())``; in Starlette, await it with the request.

    It gives the result of a verified webhook; any other request ends with the status and the reason of the refusal.
    Without ``secrets``, those in ``TRUSS_ASYNC_WEBHOOK_SECRETS`` count. ``now`` as in ``verify_webhook``.
    """
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    verifier = WebhookVerifier(secrets, tolerance_seconds, max_body_bytes, now)

    async def verified_result(request: Request) -> AsyncPredictResult:
        body = bytearray()
        try:
            async for piece in request.stream():
                body += piece
                verifier.check_size(len(body))
            return verifier.verify(bytes(body), request.headers.items())
        except WebhookVerificationError as error:
            raise HTTPException(error.status_code, str(error)) from None

    return verified_result
