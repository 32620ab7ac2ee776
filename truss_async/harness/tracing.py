"""Spans of inference and delivery attempts, in the trace of their request, sent by OTLP: only where a collector is named."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from ..printable import without_logins

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.sdk.trace import TracerProvider

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT: Final = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
PROTOCOLS: Final = ("", "http/protobuf")
EXPORT_SECONDS: Final = 3
INFERENCE: Final = "inference attempt"
DELIVERY: Final = "delivery attempt"

_trace_id: ContextVar[int] = ContextVar("trace_id")
_span_id: ContextVar[int] = ContextVar("span_id")


class Tracing:
    """Makes a span of each attempt that is over. The trace id is the request id, as it is in ``traceparent``."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("truss_async")

    def attempt_over(
        self,
        what: str,
        request_id: str,
        *,
        at: datetime,
        took: timedelta,
        problem: str | None,
        attributes: Mapping[str, str | int | None],
        span_id: str | None = None,
    ) -> None:
        """An attempt began ``at`` that time of day and took so long; ``problem`` is why it failed, or None.

        ``span_id`` is the one that was told to whoever was called, if anybody was.
        """
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind, StatusCode

        _trace_id.set(int(request_id, 16))
        _span_id.set(0 if span_id is None else int(span_id, 16))
        told = {name: value for name, value in attributes.items() if value is not None}
        span = self._tracer.start_span(
            what,
            context=Context(),
            kind=SpanKind.CLIENT,
            attributes={**told, "baseten.request_id": request_id},
            start_time=_nanoseconds(at),
        )
        if problem is not None:
            span.set_status(StatusCode.ERROR, problem)
        span.end(_nanoseconds(at + took))

    async def close(self) -> None:
        """Send what is left, if the collector takes it soon."""
        await asyncio.to_thread(self._provider.shutdown)


def tracing_of(environment: Mapping[str, str], *, report: Callable[[str], None]) -> Tracing | None:
    """The spans' way to the collector that the environment names; None without one: nothing of it is even imported."""
    own, base = environment.get(TRACES_ENDPOINT, ""), environment.get(ENDPOINT, "")
    url = own or (f"{base.rstrip('/')}/v1/traces" if base else "")
    if not url:
        return None
    if environment.get(PROTOCOL, "") not in PROTOCOLS:
        report(
            f"no spans are sent: {PROTOCOL} is {environment[PROTOCOL]!a}, and only http/protobuf is spoken here"
        )
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(
        id_generator=_ids(),
        resource=Resource.create({"service.name": environment.get(SERVICE_NAME) or "truss-async"}),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=url, timeout=EXPORT_SECONDS)))
    report(f"spans are sent to {without_logins(url)}")
    return Tracing(provider)


def _ids() -> Any:
    """Gives a span the ids that stand in the variables of its context."""
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class OfAttempt(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _trace_id.get()

        def generate_span_id(self) -> int:
            return _span_id.get() or super().generate_span_id()

    return OfAttempt()


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000) * 1000
