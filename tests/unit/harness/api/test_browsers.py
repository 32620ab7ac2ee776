"""Who calls while any key will do: told by host, origin, and what browsers say of themselves."""

from typing import Any

import pytest

from truss_async.contract.own_names import OwnNames
from truss_async.harness.api.browsers import Browsers
from truss_async.harness.api.refusals import CallRefusedError

BROWSERS = Browsers(OwnNames(["ci.example.org", "*.example.net"], bound="192.0.2.7"))


def passes(*, method: str = "POST", is_own: bool = True, **headers: str) -> bool:
    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    try:
        BROWSERS.check(method, raw, is_own=is_own)
    except CallRefusedError as refusal:
        answer = refusal
    else:
        return True
    assert (answer.status_code, answer.code.value) == (403, "unauthorized")
    assert "--api-key" in str(answer)
    assert "--allow-host" in str(answer)
    assert len(str(answer)) < 400
    assert str(answer).isprintable()
    return False


def test_hosts_that_no_page_can_have_pass_and_others_are_refused() -> None:
    assert passes(host="harness:8090")
    assert passes(host="CI.example.org:1")
    assert not passes(host="evil.com:8090")
    assert not passes(host="evil.com\x1b[31m" + "x" * 5000)
    assert not passes(host="\xe9vil.com")


def test_a_models_own_hosts_are_of_any_domain_for_its_calls_alone() -> None:
    for host in ("model-local.api.baseten.co", "chain-c1-production.example.org:80"):
        assert passes(host=host, is_own=False)
        assert not passes(host=host)
    assert not passes(host="evil.model-local.example.org", is_own=False)


@pytest.mark.parametrize(
    ("origin", "host", "passing"),
    [
        ("http://127.0.0.1:8090", "127.0.0.1:8090", True),
        ("http://localhost:3000", "127.0.0.1:8090", True),
        ("http://[::1]:3000", "127.0.0.1:8090", True),
        ("http://192.168.1.5:8090", "192.168.1.5:8090", True),
        ("http://192.168.1.5:8090", "127.0.0.1:8090", False),
        ("http://192.0.2.7:8090", "127.0.0.1:8090", True),
        ("http://box.local:8090", "box.local:8090", True),
        ("http://box.local:8090", "127.0.0.1:8090", False),
        ("http://127.0.0.1:8090", "", True),
        ("http://", "", False),
        ("https://ci.example.org", "127.0.0.1:8090", True),
        ("https://evil.com", "127.0.0.1:8090", False),
        ("http://evil.com:8090", "evil.com:8090", False),
        ("http://model-local.evil.com:8090", "model-local.evil.com:8090", False),
        ("http://localhost.evil.com", "localhost", False),
        ("null", "127.0.0.1:8090", False),
        ("null", "", False),
        ("file://", "", False),
        ("chrome-extension://abc", "127.0.0.1", False),
    ],
)
def test_a_page_that_calls_is_of_this_machine_or_of_the_harness(
    origin: str, host: str, passing: bool
) -> None:
    assert passes(origin=origin, host=host, is_own=False) == passing


@pytest.mark.parametrize(
    ("headers", "method", "passing"),
    [
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, "GET", False),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "cors"}, "POST", False),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, "GET", True),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, "POST", False),
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, "POST", True),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate"}, "GET", True),
    ],
)
def test_a_link_may_lead_here_and_another_site_may_call_nothing(
    headers: dict[str, Any], method: str, passing: bool
) -> None:
    assert passes(method=method, host="127.0.0.1", is_own=True, **headers) == passing
