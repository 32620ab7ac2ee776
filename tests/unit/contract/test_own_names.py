"""Which names of this machine no stranger can have, and which requests a page in a browser could have made."""

import pytest

from truss_async.contract.own_names import host_of, is_own_name, refusal_of_a_page


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8099", "127.0.0.1"),
        ("LocalHost", "localhost"),
        (" localhost:1 ", "localhost"),
        ("[::1]:8099", "::1"),
        ("[::1]", "::1"),
        ("evil.example.", "evil.example"),
        ("evil.example.:80", "evil.example"),
        ("", ""),
    ],
)
def test_the_name_in_a_host_header(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "203.0.113.7",
        "::1",
        "fd00::1",
        "box",
        "x.localhost",
        "box.local",
        "",
    ],
)
def test_an_address_and_a_name_that_nobody_can_register_are_ones_own(host: str) -> None:
    assert is_own_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.1",
        "x.local.example",
        "evillocal.example",
        "a..b",
        "127.0.0.1,evil.example",
    ],
)
def test_any_other_name_may_be_a_strangers(host: str) -> None:
    assert not is_own_name(host)
    assert is_own_name(host, allowed=["other.example", host])


def test_an_allowed_name_is_one_whatever_its_case_and_port() -> None:
    assert is_own_name("tunnel.example", allowed=["Tunnel.Example:443"])
    assert is_own_name("a.tunnel.example", allowed=["*.tunnel.example"])
    for host in ("tunnel.example", ".tunnel.example", "eviltunnel.example"):
        assert not is_own_name(host, allowed=["*.tunnel.example"])


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "http://evil.example", "host": "127.0.0.1"}, "comes from a page"),
        ({"origin": "null", "host": "127.0.0.1"}, "comes from a page"),
        ({"origin": "http://127.0.0.1:8099", "host": "127.0.0.1:8099"}, "comes from a page"),
        ({"sec-fetch-site": "same-origin", "host": "127.0.0.1"}, "comes from a page"),
        ({"host": "evil.example:8099"}, "calls this machine 'evil.example'"),
        ({"host": "evil.example\x1b[2J.x"}, r"calls this machine 'evil.example\x1b[2j.x'"),
        ({"host": "a." * 5000}, "as a page in a browser could"),
    ],
)
def test_what_a_page_could_have_sent_is_told(headers: dict[str, str], reason: str) -> None:
    refusal = refusal_of_a_page(headers)
    assert refusal is not None
    assert reason in refusal
    assert len(refusal) < 300


@pytest.mark.parametrize(
    "headers", [{}, {"host": "127.0.0.1:8099"}, {"host": "localhost"}, {"host": "listen:8099"}]
)
def test_a_program_passes(headers: dict[str, str]) -> None:
    assert refusal_of_a_page(headers) is None
