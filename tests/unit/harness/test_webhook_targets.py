from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from truss_async.harness.webhook_targets import is_public

V4_IN_V6 = ["::ffff:{}", "64:ff9b::{}"]


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.63.255.255", "223.255.255.255", "2606:4700:4700::1111",
     "2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
)  # fmt: skip
def test_what_belongs_to_the_internet_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [str(IPv4Address(0)), "0.1.2.3", "10.0.0.0", "10.255.255.255", "100.64.0.1", "127.0.0.1", "127.255.255.255", "169.254.169.254",
     "172.16.0.0", "172.31.255.255", "192.0.0.1", "192.168.255.255", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1",
     "255.255.255.255", "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::10.0.0.1",
     "64:ff9b:1::8.8.8.8", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:a9fe:a9fe::", "3fff::1", "5f00::1",
     "fc00::1", "fd00:ec2::254", "fe80::1", "febf::1", "fec0::1", "ff02::1"],
)  # fmt: skip
def test_this_machine_networks_of_its_own_groups_and_nobody_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@given(st.ip_addresses(v=4), st.sampled_from(V4_IN_V6))
def test_an_address_inside_another_is_judged_as_itself(address: IPv4Address, form: str) -> None:
    assert is_public(ip_address(form.format(address))) is is_public(address)


@given(st.ip_addresses())
@example(IPv6Address("2002:8000::"))
def test_nothing_that_python_calls_private_is_public(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        kinds = address.is_loopback, address.is_link_local, address.is_multicast, address.is_unspecified
        assert not any(kinds)
        # One that holds another is judged as that; newer Pythons call all of 6to4 private.
        holds = [getattr(address, form, None) for form in ("ipv4_mapped", "sixtofour")]
        assert not (address.is_private and holds == [None, None])
