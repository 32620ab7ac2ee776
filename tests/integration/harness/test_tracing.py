"""Spans of attempts, as a collector gets them by OTLP; and nothing of it where none is named."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.integration.harness.model_server import Answer, ModelServer, echo
from truss_async.harness import tracing
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
from truss_async.webhooks.receiver import WebhookReceiver

COLD = """
import sys
from truss_async.harness.harness import Harness
from truss_async.harness.settings import HarnessSettings
with Harness(HarnessSettings(model_url=sys.argv[1], port=0, quiet=True), report=lambda line: None):
    print(*(name for name in sys.modules if name.partition(".")[0] == "opentelemetry"))
"""


class Collector:
    """A little receiver of OTLP over HTTP; ``spans`` is what came, in the words of its protocol."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.paths: list[str] = []
        self.services: set[str] = set()
        self.spans: list[Any] = []

    def take(self, path: str, body: bytes) -> None:
        self.paths.append(path)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.services |= {
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            }
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]

    def attempts(self, name: str) -> list[Any]:
        return sorted(
            (each for each in self.spans if each.name == name), key=lambda each: each.start_time_unix_nano
        )


def told(span: Any, name: str) -> object:
    (value,) = [each.value for each in span.attributes if each.key == name]
    return value.string_value or value.int_value


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            packed = self.headers.get("Content-Encoding") == "gzip"
            collector.take(self.path, gzip.decompress(body) if packed else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def serving(behave: Any = echo, said: list[str] | None = None) -> Iterator[tuple[Harness, ModelServer]]:
    with ExitStack() as running:
        model = running.enter_context(ModelServer(behave))
        settings = HarnessSettings(
            model_url=model.url, model_id="local", port=0, quiet=True, virtual_clock=True
        )
        report = ([] if said is None else said).append
        yield running.enter_context(Harness(settings, report=report)), model


def test_each_attempt_is_a_span_in_the_trace_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([Answer(500, b'{"error": "no"}'), Answer(body=b"1")])
    with collecting() as collector, WebhookReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "rehearsal")
        receiver.answer_next(500)
        with serving(lambda _: next(answers)) as (harness, model):
            endpoint = receiver.url.replace("http://", "http://user:pass-4711@")
            handle = harness.submit(1, webhook_endpoint=endpoint)
            handle.wait()
            parents = [each["traceparent"] for each in model.headers]
        assert collector.paths == ["/v1/traces"] * len(collector.paths)
        assert collector.services == {"rehearsal"}
        assert {each.trace_id.hex() for each in collector.spans} == {handle.request_id}
        inference, delivery = collector.attempts("inference attempt"), collector.attempts("delivery attempt")
    assert [(told(each, "truss_async.attempt"), each.status.code) for each in inference] == [(1, 2), (2, 0)]
    assert [f"00-{handle.request_id}-{each.span_id.hex()}-01" for each in inference] == parents
    assert [told(each, "http.response.status_code") for each in delivery] == [500, 200]
    assert [each.status.message for each in delivery] == ["it answered 500", ""]
    assert not any("pass-4711" in str(each) for each in collector.spans)
    assert {told(each, "baseten.deployment_id") for each in collector.spans} == {"local1"}


def test_a_collector_that_is_away_keeps_nobody_from_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "EXPORT_SECONDS", 0.2)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:secret@127.0.0.1:9/v1/traces")
    said: list[str] = []
    with serving(said=said) as (harness, _):
        assert harness.submit(1).wait().value == "SUCCEEDED"
    (line,) = [each for each in said if "spans" in each]
    assert "127.0.0.1:9/v1/traces" in line
    assert "secret" not in line


def test_a_protocol_that_is_not_spoken_is_told() -> None:
    said: list[str] = []
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    assert tracing.tracing_of(environment, report=said.append) is None
    assert said == [
        "no spans are sent: OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc', and only http/protobuf is spoken here"
    ]


def test_where_no_collector_is_named_nothing_of_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracing.tracing_of({}, report=lambda line: None) is None
    with ModelServer() as model:
        shown = subprocess.run(
            [sys.executable, "-c", COLD, model.url], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert shown.stdout.split() == []
