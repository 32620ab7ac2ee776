"""Webhook endpoints over real HTTP, good ones and ones that are wrong on purpose."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

from truss_async.clock import SYSTEM_CLOCK
from truss_async.errors import WebhookVerificationError
from truss_async.webhooks import verify_webhook
from truss_async.webhooks.http_server import Answer, HttpServer, Request

NEW, OLD = "whsec_new", "whsec_old"
SECRETS = (NEW, OLD)
TOLERANCE_SECONDS = 300


@contextmanager
def serving(handle: Callable[[Request], Answer], *, max_body_bytes: int = 10_000_000) -> Iterator[str]:
    """The URL where it answers."""
    server = HttpServer("127.0.0.1", 0, handle=handle, max_body_bytes=max_body_bytes)
    server.start()
    try:
        yield server.url + "/webhook"
    finally:
        server.stop()


def answer(status_code: int) -> Answer:
    return Answer(status_code, {"status": status_code})


def right(request: Request) -> Answer:
    try:
        verify_webhook(request.body, request.headers, SECRETS)
    except WebhookVerificationError as error:
        return answer(error.status_code)
    return answer(200)


def signature_of(body: bytes, secret: str) -> str:
    return "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def is_signed(body: bytes, given: str) -> bool:
    return any(signature_of(body, secret) in given.split(",") for secret in SECRETS)


def is_fresh(body: bytes) -> bool:
    sent = datetime.fromisoformat(json.loads(body)["time"].replace("Z", "+00:00"))
    return abs((SYSTEM_CLOCK.now() - sent).total_seconds()) <= TOLERANCE_SECONDS


def given_signature(headers: Mapping[str, str]) -> str:
    return headers.get("x-baseten-signature", "")


def writes_the_json_again(request: Request) -> Answer:
    """Verifies what it has parsed and written again, in another order of keys."""
    body = json.dumps(json.loads(request.body), sort_keys=True, separators=(",", ":")).encode()
    return answer(200 if is_signed(body, given_signature(request.headers)) and is_fresh(body) else 401)


def checks_the_first_signature_only(request: Request) -> Answer:
    first = given_signature(request.headers).split(",")[0]
    return answer(200 if is_signed(request.body, first) and is_fresh(request.body) else 401)


def checks_no_age(request: Request) -> Answer:
    return answer(200 if is_signed(request.body, given_signature(request.headers)) else 401)


def never_verifies(request: Request) -> Answer:
    return answer(200)
