"""Which names of this machine no stranger can have, and which requests a page in a browser could have made."""

import pytest

from truss_async.contract.own_names import OwnNames, allowed_name, host_of, refusal_of_a_page


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("127.0.0.1:8099", "127.0.0.1"),
        ("LocalHost", "localhost"),
        (" localhost:1 ", "localhost"),
        ("[::1]:8099", "::1"),
        ("[::1]", "::1"),
        ("[FE80::1%eth0]:1", "fe80::1%eth0"),
        ("evil.example.", "evil.example"),
        ("evil.example.:80", "evil.example"),
        ("", ""),
        (":80", ""),
        ("[::1].evil.example", None),
        ("[::1", None),
        ("::1", None),
        ("a..b", None),
        (".localhost", None),
        ("localhost:http", None),
        ("127.0.0.1@evil.example", None),
        ("evil.example/.localhost", None),
        ("evil.example#.localhost", None),
        ("evil.example\n.localhost", None),
        ("127.0.0.1,evil.example", None),
        ("\xe9vil", None),
    ],
)
def test_the_name_in_a_host_header(header: str, host: str | None) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "LOCALHOST:8090", "localhost.:8090", "127.0.0.1", "127.8.8.8:1", "10.1.2.3", "203.0.113.7:80", "[::1]:8099",
        "[fd00::1]", "[fe80::1%eth0]:1", "box", "harness:8090", "x.localhost", "a.b.localhost:8090", "box.local", "host.docker.internal:1",
        "harness.default.svc.cluster.local", "box.home.arpa", "",
    ],
)  # fmt: skip
def test_an_address_and_a_name_that_nobody_can_register_are_ones_own(host: str) -> None:
    assert OwnNames().include(host)
    assert not OwnNames().allow(host) or host_of(host) == "localhost"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:8090", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io:8090", "127.1",
        "999.1.1.1", "x.local.example", "evillocal.example", "evillocalhost.example", "model-local.evil.example", "a.b",
    ],
)  # fmt: skip
def test_any_other_name_may_be_a_strangers(host: str) -> None:
    assert not OwnNames(["other.example"]).include(host)
    assert OwnNames(["other.example", host]).include(host)


@pytest.mark.parametrize(
    "header",
    [
        "a..b", "127.0.0.1@evil.example", "evil.example#.localhost", "evil.example/.localhost", "[::1].evil.example", "\xe9vil.localhost",
        "[::g]", "[1]", "evil.example\x1b[2J.local",
    ],
)  # fmt: skip
def test_what_is_no_host_is_nobodys_own(header: str) -> None:
    assert not OwnNames(["*.example"]).include(header)
    assert not OwnNames(["*.example"]).allow(header)


def test_an_allowed_name_is_one_whatever_its_case_and_port() -> None:
    own = OwnNames(["Tunnel.Example:443", "*.many.example", "2001:db8::1"], bound="192.0.2.7")
    for host in (
        "tunnel.example",
        "TUNNEL.example.:1",
        "a.many.example",
        "a.b.many.example",
        "192.0.2.7",
        "[2001:db8::1]:80",
    ):
        assert own.include(host)
        assert own.allow(host)
    for host in (
        "many.example",
        ".many.example",
        "evilmany.example",
        "x.tunnel.example",
        "tunnel.example.evil.example",
    ):
        assert not own.include(host)
        assert not own.allow(host)
    assert not own.allow("10.0.0.1")


@pytest.mark.parametrize("bound", ["", "::", "::1", "not a host!"])
def test_what_is_listened_on_is_no_reason_to_fail(bound: str) -> None:
    assert OwnNames(bound=bound).include("localhost")


@pytest.mark.parametrize(
    "given",
    ["", "*", "*.", "*.*.example", "https://tunnel.example", "tunnel.example/hook", "a b", "x" * 300 + "!"],
)
def test_an_allowed_name_that_would_allow_nothing_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="is not a host name; give a name") as refused:
        OwnNames([given])
    assert len(str(refused.value)) < 300
    with pytest.raises(ValueError, match="is not a host name"):
        allowed_name(given)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({"origin": "http://evil.example", "host": "127.0.0.1"}, "comes from a page"),
        ({"origin": "null", "host": "127.0.0.1"}, "comes from a page"),
        ({"origin": "http://127.0.0.1:8099", "host": "127.0.0.1:8099"}, "comes from a page"),
        ({"sec-fetch-site": "same-origin", "host": "127.0.0.1"}, "comes from a page"),
        ({"host": "evil.example:8099"}, "calls this machine 'evil.example:8099'"),
        ({"host": "evil.example\x1b[2J.x"}, r"calls this machine 'evil.example\x1b[2J.x'"),
        ({"host": "a." * 5000}, "as a page in a browser could"),
    ],
)
def test_what_a_page_could_have_sent_is_told(headers: dict[str, str], reason: str) -> None:
    refusal = refusal_of_a_page(headers, OwnNames())
    assert refusal is not None
    assert reason in refusal
    assert len(refusal) < 300


@pytest.mark.parametrize(
    "headers", [{}, {"host": "127.0.0.1:8099"}, {"host": "localhost"}, {"host": "listen:8099"}]
)
def test_a_program_passes(headers: dict[str, str]) -> None:
    assert refusal_of_a_page(headers, OwnNames()) is None
