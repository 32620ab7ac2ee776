"""A webhook endpoint of its own: a real HTTP server that verifies and keeps what arrives."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ..clock import SYSTEM_CLOCK, Clock
from ..contract.headers import SIGNATURE, WEBHOOK_REQUEST_ID
from ..contract.limits import MAX_BODY_BYTES, WEBHOOK_AGE_TOLERANCE_SECONDS
from ..contract.own_names import OwnNames, refusal_of_a_page
from ..errors import WebhookReceiverError, WebhookVerificationError
from .handlers import call_plainly, check_handler
from .http_server import Answer, EventStream, HttpServer, Request
from .secrets import as_secrets
from .verification import check_age, check_signature, parse_result

if TYPE_CHECKING:
    import ssl

    from ..contract import AsyncPredictResult

VALID = "valid"
UNSIGNED = "unsigned"
UNCHECKED = "unchecked"


@dataclass(frozen=True)
class Delivery:
    """One POST that reached the receiver, and what became of it.

    ``verdict`` is ``valid``; or, when the receiver has no secrets, ``unsigned`` or ``unchecked`` (there is a
    signature, but nothing to check it with); or the reason why the body was refused. ``request_id`` is the one in
    the body, or, when that was refused, what the headers claim. Header names are in lower case.
    """

    received_at: datetime
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str | None
    result: AsyncPredictResult | None
    verdict: str
    status_code: int

    @property
    def accepted(self) -> bool:
        """Whether the answer to the sender said that the result is safe here."""
        return self.status_code < 300


@dataclass(frozen=True)
class AcceptedDelivery(Delivery):
    """A delivery of a result that is safe here, as the sender was told."""

    result: AsyncPredictResult


class HasRequestId(Protocol):
    """A request, in whatever form."""

    @property
    def request_id(self) -> str: ...


class WebhookReceiver:
    """An endpoint that answers 200 to what it accepts, 401 to what is not proven, 400 to what is no result.

    ``on_delivery`` is called for every POST before it is answered, so that it can store what is about to be
    acknowledged; when it raises, the answer is 500 and the sender comes again, and when it returns a status, that is the
    answer. It is called from several threads. With ``tls``, which holds the certificate, the endpoint is HTTPS. Without
    ``secrets`` nothing is verified; pages in a browser are refused all the same, and so is whoever calls this machine by
    a name that a stranger could have registered, unless it is one of ``allow_hosts``; ``*.example.com`` is all below it.
    ``respond_with`` scripts the first answers, to play a receiver that fails:
    ``[503, None]`` answers 503, then as usual. ``keep`` bounds how many deliveries are remembered. ``on_get`` answers each
    GET, with server-sent events, say; without it they are refused.
    """

    def __init__(
        self,
        *,
        secrets: Sequence[str] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        on_delivery: Callable[[Delivery], int | None] | None = None,
        on_get: Callable[[Request], Answer | EventStream] | None = None,
        respond_with: Iterable[int | None] = (),
        tolerance_seconds: float = WEBHOOK_AGE_TOLERANCE_SECONDS,
        max_body_bytes: int = MAX_BODY_BYTES,
        keep: int | None = None,
        tls: ssl.SSLContext | None = None,
        allow_hosts: Sequence[str] = (),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._secrets = as_secrets(secrets)
        if on_delivery is not None:
            check_handler(on_delivery)
        self._on_delivery = on_delivery
        self._on_get = on_get
        self._scripted = deque(respond_with)
        self._tolerance_seconds = tolerance_seconds
        self._own_names = OwnNames(allow_hosts, bound=host)
        self._clock = clock
        self._deliveries: deque[Delivery] = deque(maxlen=keep)
        self._changed = threading.Condition()
        self._host, self._port = host, port
        self._max_body_bytes = max_body_bytes
        self._tls = tls
        self._server: HttpServer | None = None

    def start(self) -> None:
        """Bind, and answer from threads of its own; a port in use fails here."""
        try:
            self._server = HttpServer(
                self._host,
                self._port,
                handle=self._receive,
                max_body_bytes=self._max_body_bytes,
                handle_get=self._on_get,
                tls=self._tls,
            )
        except (OSError, OverflowError) as error:
            reason = "a port is 0 to 65535" if isinstance(error, OverflowError) else error.strerror or error
            raise WebhookReceiverError(
                f"cannot listen on {self._host}:{self._port}: {reason}; "
                "choose another port (0 picks a free one)"
            ) from None
        self._server.start()

    def stop(self) -> None:
        """Answer what is being received, then close; no thread is left. Harmless when done twice."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> WebhookReceiver:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it answers; any path will do."""
        if self._server is None:
            raise WebhookReceiverError("the webhook receiver is not running: start() it first")
        return self._server.url

    @property
    def deliveries(self) -> tuple[Delivery, ...]:
        """What arrived, oldest first, refused ones too."""
        with self._changed:
            return tuple(self._deliveries)

    def answer_next(self, *status_codes: int | None) -> None:
        """Give these answers to the next deliveries, to play a receiver that fails; None is the usual one."""
        with self._changed:
            self._scripted.extend(status_codes)

    def wait_for(self, request: str | HasRequestId, *, timeout_seconds: float = 30) -> AcceptedDelivery:
        """The first accepted delivery for that request, or request id; TimeoutError when there is none in time."""
        request_id = request if isinstance(request, str) else request.request_id

        def found() -> AcceptedDelivery | None:
            accepted = (d for d in self._deliveries if isinstance(d, AcceptedDelivery))
            return next((d for d in accepted if d.request_id == request_id), None)

        with self._changed:
            delivery = self._changed.wait_for(found, timeout_seconds)
        if delivery is None:
            raise TimeoutError(f"no accepted webhook for {request_id} within {timeout_seconds} s")
        return delivery

    def wait_for_count(self, count: int, *, timeout_seconds: float = 30) -> tuple[Delivery, ...]:
        """All deliveries, refused ones too, once there are ``count``; TimeoutError when there are fewer in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._deliveries) >= count, timeout_seconds):
                raise TimeoutError(
                    f"{len(self._deliveries)} webhooks instead of {count} within {timeout_seconds} s"
                )
            return tuple(self._deliveries)

    def _receive(self, request: Request) -> Answer:
        delivery = self._examine(request)
        with self._changed:
            scripted = self._scripted.popleft() if self._scripted else None
        if scripted is not None:
            delivery = replace(delivery, status_code=scripted)
        try:
            if self._on_delivery is not None:
                decided = call_plainly(self._on_delivery, delivery)
                delivery = replace(delivery, status_code=decided or delivery.status_code)
        except BaseException:
            delivery = replace(delivery, status_code=500)
            raise  # the HTTP server answers 500 and logs it
        finally:
            is_safe = delivery.accepted and delivery.result is not None
            with self._changed:
                self._deliveries.append(AcceptedDelivery(**vars(delivery)) if is_safe else delivery)
                self._changed.notify_all()
        if delivery.accepted:
            return Answer(delivery.status_code, {"status": "accepted"})
        reason = delivery.verdict if delivery.result is None else "it was not accepted"
        return Answer(delivery.status_code, {"error": reason})

    def _examine(self, request: Request) -> Delivery:
        delivery = Delivery(
            received_at=self._clock.now(),
            path=request.path,
            headers=request.headers,
            body=request.body,
            request_id=request.headers.get(WEBHOOK_REQUEST_ID.lower()),
            result=None,
            verdict=VALID,
            status_code=200,
        )
        try:
            result = self._verified(request, now=delivery.received_at)
        except WebhookVerificationError as error:
            return replace(delivery, verdict=str(error), status_code=error.status_code)
        if not self._secrets:
            delivery = replace(
                delivery, verdict=UNCHECKED if SIGNATURE.lower() in request.headers else UNSIGNED
            )
        return replace(delivery, result=result, request_id=result.request_id)

    def _verified(self, request: Request, *, now: datetime) -> AsyncPredictResult:
        if not self._secrets:
            refusal = refusal_of_a_page(request.headers, self._own_names)
            if refusal is not None:
                raise WebhookVerificationError(
                    f"{refusal}: give webhook secrets, or allow that host", status_code=403
                )
            return parse_result(request.body)
        check_signature(request.body, request.headers, self._secrets)
        result = parse_result(request.body)
        check_age(result, now=now, tolerance=self._tolerance_seconds)
        return result
