"""What is said of a webhook endpoint."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from truss_async.clock import SYSTEM_CLOCK
from truss_async.doctor.endpoints import webhook_endpoint


class Endpoint(HTTPServer):
    """Answers everything with one status."""

    status = 200


class _Answer(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.send_response_only(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(("127.0.0.1", 0), _Answer) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "outcome"), [(200, "ok"), (405, "ok"), (401, "ok"), (502, "failed")])
def test_any_answer_but_a_servers_error_will_do(endpoint: Endpoint, status: int, outcome: str) -> None:
    endpoint.status = status
    finding = webhook_endpoint(f"http://127.0.0.1:{endpoint.server_port}/webhook", clock=SYSTEM_CLOCK)
    assert finding.outcome == outcome
    assert f"answers {status}" in finding.found


def test_nobody_there_is_to_be_mended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    finding = webhook_endpoint(url, clock=SYSTEM_CLOCK)
    assert finding.outcome == "failed"
    assert "start the endpoint" in finding.remedy


def test_a_url_that_the_platform_refuses_is_not_asked() -> None:
    finding = webhook_endpoint("http://example.com/webhook", clock=SYSTEM_CLOCK)
    assert (finding.outcome, finding.found) == (
        "failed",
        "the platform would refuse http://example.com/webhook",
    )
    assert "must use https://" in finding.remedy
