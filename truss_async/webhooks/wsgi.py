"""For Flask, and for any WSGI application."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..contract.limits import MAX_BODY_BYTES, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..errors import WebhookVerificationError
from .verifier import WebhookVerifier

if TYPE_CHECKING:
    from flask import Request

    from ..contract import AsyncPredictResult
    from .verification import Now

_HEADER_PREFIX = "HTTP_"


def flask_webhook(
    secrets: Iterable[str] | str | None = None,
    *,
    tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS,
    now: Now = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a Flask view, below its route: the view is called with the verified result as its first argument.

    Any other request is answered with the status and the reason of the refusal. Without ``secrets``, those in
    ``TRUSS_ASYNC_WEBHOOK_SECRETS`` count. ``now`` as in
    ``verify_webhook``.
    """
    import flask

    verifier = WebhookVerifier(secrets, tolerance_seconds, max_body_bytes, now)

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(view)
        def verified(*arguments: Any, **named: Any) -> Any:
            try:
                result = verifier.verify(_read_flask(flask.request, verifier), flask.request.headers.items())
            except WebhookVerificationError as error:
                return {"error": str(error)}, error.status_code
            return flask.current_app.ensure_sync(view)(result, *arguments, **named)

        return verified

    return decorate


def verify_wsgi(
    environ: dict[str, Any],
    secrets: Iterable[str] | str | None = None,
    *,
    tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS,
    now: Now = None,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> AsyncPredictResult:
    """The verified result of a WSGI request; the body can be read from ``wsgi.input`` once more.

    Raises:
        WebhookVerificationError: it was refused; answer with the ``status_code`` of the error.
        SettingsError: there is no secret.
    """
    verifier = WebhookVerifier(secrets, tolerance_seconds, max_body_bytes, now)
    body = _read(environ, verifier)
    environ["wsgi.input"] = io.BytesIO(body)
    environ["CONTENT_LENGTH"] = str(len(body))
    headers = [
        (name[len(_HEADER_PREFIX) :].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith(_HEADER_PREFIX)
    ]
    return verifier.verify(body, headers)


def _read_flask(request: Request, verifier: WebhookVerifier) -> bytes:
    """The body by Flask's own means: somebody may have read it before, and somebody may want to later."""
    verifier.check_size(request.content_length or 0)
    if request.content_length is not None:
        return request.get_data()
    body: bytes = request.stream.read(verifier.max_body_bytes + 1)  # chunked, if there is anything
    verifier.check_size(len(body))
    return body


def _read(environ: dict[str, Any], verifier: WebhookVerifier) -> bytes:
    announced = environ.get("CONTENT_LENGTH") or ""
    if announced:
        if not (announced.isascii() and announced.isdigit() and len(announced) < 19):
            raise WebhookVerificationError("Content-Length is not a number", status_code=400)
        size = int(announced)
        verifier.check_size(size)
    elif environ.get("wsgi.input_terminated"):
        size = verifier.max_body_bytes + 1  # a chunked body, which the server ends
    else:
        return b""
    body = bytearray()
    while len(body) < size and (piece := environ["wsgi.input"].read(size - len(body))):
        body += piece
    verifier.check_size(len(body))
    return bytes(body)
