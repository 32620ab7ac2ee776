"""Where webhooks go: the URL as it was given, and nowhere else than to where they may."""

from __future__ import annotations

import asyncio
import socket
from base64 import b64encode
from typing import TYPE_CHECKING, Any

import aiohttp
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from truss_async.contract.webhook_urls import webhook_url
from truss_async.errors import ApiError
from truss_async.harness.webhook_targets import as_given, webhook_session

if TYPE_CHECKING:
    from collections.abc import Callable

    from truss_async import Harness
    from truss_async.webhooks.receiver import WebhookReceiver

EVERYWHERE = "0.0.0.0"  # noqa: S104 - that is what is tried
ODD = "/a%2Fb%28c%29%40%3A%7E/.././/x;y?z=%2F+%20&&"
SENDABLE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="#"), max_size=40)


async def heads_received(targets: list[str]) -> list[bytes]:
    """What a server reads, up to the blank line, when these paths of it are sent to."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with webhook_session(is_guarded=False, files=1000) as session:
        for target in targets:
            url = webhook_url(f"http://127.0.0.1:{port}{target}#fragment")
            async with session.post(as_given(url), data=b"1"):
                pass
    server.close()
    await server.wait_closed()
    return heads


@settings(max_examples=20, deadline=None)
@given(st.lists(SENDABLE, min_size=10, max_size=10))
def test_path_and_query_are_sent_byte_for_byte(targets: list[str]) -> None:
    targets = [ODD, *(f"/{target}" for target in targets), "/?", "/x?"]
    heads = asyncio.run(heads_received(targets))
    assert [head.split(b"\r\n")[0] for head in heads] == [
        f"POST {each} HTTP/1.1".encode() for each in targets
    ]


def test_a_harness_sends_to_the_url_as_given_and_logs_in_as_it_says(serve: Callable[..., Harness]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        port = listening.getsockname()[1]
        handle = serve().submit(1, webhook_endpoint=f"http://user:p%40ss@localhost:{port}{ODD}#x")
        connection, _ = listening.accept()
        with connection, connection.makefile("rb") as received:
            assert received.readline() == f"POST {ODD} HTTP/1.1\r\n".encode()
            head = b"".join(iter(received.readline, b"\r\n")).decode()
            connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            assert f"Host: localhost:{port}\r\n" in head
            assert f"Authorization: Basic {b64encode(b'user:p@ss').decode()}\r\n" in head
            assert handle.wait(timeout_seconds=30).value == "SUCCEEDED"


@pytest.mark.parametrize(
    "endpoint",
    ["https://" + "x" * 64 + ".example.com", "https://a..example.com", "https://./", "https://h:0/"],
)
def test_an_endpoint_that_cannot_be_sent_to_is_refused(http: httpx.Client, endpoint: str) -> None:
    answer = http.post("/production/async_predict", json={"model_input": 1, "webhook_endpoint": endpoint})
    assert answer.status_code == 400
    assert "webhook_endpoint: is not a valid URL" in answer.json()["error"]


# Beyond loopback.


class Names:
    """Stands for the name service: ``innocent.example`` leads where the test says; counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.leads_to = ["127.0.0.1"]
        self.asked = 0
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._look_up)

    def _look_up(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "innocent.example":
            return self._real(host, port, *args, **kwargs)
        self.asked += 1
        families = [(socket.AF_INET6 if ":" in each else socket.AF_INET, each) for each in self.leads_to]
        return [(family, socket.SOCK_STREAM, 6, "", (each, port)) for family, each in families]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize(
    "leads_to", [["127.0.0.1"], ["10.0.0.1", "192.168.0.1"], ["169.254.169.254"], ["::1"], ["::ffff:127.0.0.1"], ["fd00::1", "::"]]
)  # fmt: skip
def test_a_name_that_leads_to_a_private_address_fails_the_webhook_for_good_and_is_told(
    serve: Callable[..., Harness], names: Names, leads_to: list[str], reports: list[str]
) -> None:
    names.leads_to = leads_to
    handle = serve(host=EVERYWHERE).submit(1, webhook_endpoint="https://innocent.example/hook")
    assert handle.wait(timeout_seconds=30).value == "WEBHOOK_FAILED"
    assert (
        "its host resolves to an address that is not public; allow these with --allow-private-webhooks"
        in handle.story
    )
    assert [line for line in reports if "failed for good: innocent.example" in line]
    assert names.asked == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "a.localhost", "10.1.2.3", "172.31.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
     "0", "224.0.0.1", "255.255.255.255", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "１２７.0.0.1",
     "[::1]", "[::]", "[fe80::1]", "[fd00:ec2::254]", "[ff02::1]", "[::ffff:10.0.0.1]", "[64:ff9b::7f00:1]",
     "[2002:7f00:1::]", "[64:ff9b::a9fe:a9fe]"],
)  # fmt: skip
def test_a_private_target_is_refused_when_it_is_known(serve: Callable[..., Harness], host: str) -> None:
    harness = serve(host=EVERYWHERE, api_key="key")
    with pytest.raises(ApiError, match=r"webhook_endpoint: .* --allow-private-webhooks"):
        harness.submit(1, webhook_endpoint=f"https://{host}:8443/hook")


@pytest.mark.parametrize(
    "options", [{"host": EVERYWHERE, "allow_private_webhooks": True}, {"host": "127.0.0.1"}]
)
def test_private_targets_are_sent_to_on_loopback_and_where_they_are_allowed(
    serve: Callable[..., Harness], receiver: WebhookReceiver, options: dict[str, Any]
) -> None:
    handle = serve(**options).submit(1, webhook_endpoint=receiver.url)
    assert handle.wait(timeout_seconds=30).value == "SUCCEEDED"


def test_an_address_of_this_machine_is_private_though_it_be_of_the_internet(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("truss_async.harness.webhook_targets.is_public", lambda _: True)

    async def send() -> None:
        async with webhook_session(is_guarded=True, files=1000) as session:
            await session.post("https://innocent.example/")

    with pytest.raises(aiohttp.ClientConnectorError, match="not public"):
        asyncio.run(send())


@pytest.mark.parametrize(
    ("host", "api_key", "is_told"),
    [(EVERYWHERE, None, True), (EVERYWHERE, "key", False), ("127.0.0.1", None, False)],
)
def test_a_harness_that_others_can_reach_without_a_key_says_so(
    serve: Callable[..., Harness], reports: list[str], host: str, api_key: str | None, is_told: bool
) -> None:
    serve(host=host, api_key=api_key)
    assert any("--api-key" in line for line in reports) is is_told


def test_metrics_need_the_key_where_there_is_one(serve: Callable[..., Harness]) -> None:
    url = f"{serve(api_key='key').url}/metrics"
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": "Bearer key"}).status_code == 200
