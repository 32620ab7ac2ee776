"""What the user's application gets of a webhook, and what the sender is told when it gets nothing."""

import threading

import pytest

from tests.unit.endpoint.endpoints import answer, serving
from truss_async.endpoint.forwarding import Forwarder
from truss_async.errors import SettingsError
from truss_async.webhooks.http_server import Answer, Request

BODY = '{"text":"é"}'.encode()


def test_the_application_gets_the_body_and_the_headers_as_they_came() -> None:
    got: list[Request] = []

    def take(request: Request) -> Answer:
        got.append(request)
        return answer(202)

    headers = {
        "content-type": "application/json",
        "x-baseten-signature": "v1=abc,v1=d\xe9f",
        "x-baseten-request-id": "r1",
        "user-agent": "the platform",
        "host": "tunnel.example",
        "content-length": "999",
        "connection": "close",
        "transfer-encoding": "identity",
    }
    with serving(take) as url:
        forwarder = Forwarder(url + "?a=1")
        forwarded = forwarder.forward(BODY, headers)
        forwarder.close()
    assert (forwarded.status_code, forwarded.accepted, forwarded.problem) == (202, True, None)
    (request,) = got
    assert (request.path, request.body) == ("/webhook?a=1", BODY)
    for name in ("content-type", "x-baseten-signature", "x-baseten-request-id", "user-agent"):
        assert request.headers[name] == headers[name]
    assert request.headers["host"] in url
    assert request.headers["content-length"] == str(len(BODY))
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("status_code", [204, 302, 401, 500])
def test_its_answer_is_handed_back(status_code: int) -> None:
    with serving(lambda request: answer(status_code)) as url:
        forwarder = Forwarder(url)
        forwarded = forwarder.forward(BODY, {})
        forwarder.close()
    assert (forwarded.status_code, forwarded.accepted) == (status_code, status_code == 204)
    assert forwarded.problem is None


def test_an_application_that_is_down_is_a_bad_gateway() -> None:
    with serving(lambda request: answer(200)) as url:
        pass
    forwarder = Forwarder(url)
    forwarded = forwarder.forward(BODY, {})
    forwarder.close()
    assert (forwarded.status_code, forwarded.accepted) == (502, False)
    assert "refused" in (forwarded.problem or "")


def test_an_application_that_is_slow_is_a_gateway_timeout() -> None:
    released = threading.Event()

    def hang(request: Request) -> Answer:
        released.wait(30)
        return answer(200)

    with serving(hang) as url:
        forwarder = Forwarder(url, timeout_seconds=0.1)
        forwarded = forwarder.forward(BODY, {})
        released.set()
        forwarder.close()
    assert (forwarded.status_code, forwarded.problem) == (504, "no answer within 0.1 s")


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(SettingsError, match="'localhost:80' is not a URL such as"):
        Forwarder("localhost:80")
