"""What a function may reach: how entries are written, what they mean, and which are refused."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from quickthaw.egress import Destination, read_destinations
from quickthaw.types import FunctionSpec, Network


@pytest.mark.parametrize(
    ("entry", "host", "port", "taken"),
    [
        ("api.example.com", "api.example.com", 443, True),
        ("API.Example.com", "api.example.com", 80, True),
        ("api.example.com", "api.example.com", 8080, False),
        ("api.example.com", "www.api.example.com", 443, False),
        ("api.example.com:8080", "api.example.com", 8080, True),
        ("api.example.com:8080", "api.example.com", 443, False),
        ("*.example.com", "a.b.example.com", 443, True),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "badexample.com", 443, False),
    ],
    ids=str,
)
def test_a_name_means_itself_or_what_is_below_it_on_its_ports(entry: str, host: str, port: int, taken: bool) -> None:
    assert Destination.of(entry).takes(host, port) is taken


@pytest.mark.parametrize(
    ("entry", "address", "port", "taken"),
    [
        ("10.1.0.0/16:8080", "10.1.2.3", 8080, True),
        ("10.1.0.0/16:8080", "10.1.2.3", 80, False),
        ("10.1.0.0/16:8080", "10.2.0.1", 8080, False),
        ("203.0.113.7", "203.0.113.7", 443, True),
        ("[2001:db8::/32]:8443", "2001:db8::1", 8443, True),
        ("2001:db8::/32", "2001:db8::1", 443, True),
        ("2001:db8::/32", "203.0.113.7", 443, False),
        ("example.com", "203.0.113.7", 443, False),
    ],
    ids=str,
)
def test_a_network_means_its_addresses_on_its_ports(entry: str, address: str, port: int, taken: bool) -> None:
    assert Destination.of(entry).takes(ip_address(address), port) is taken


def test_a_network_means_no_name() -> None:
    assert not Destination.of("0.0.0.0/0").takes("example.com", 443)


REFUSED = [
    *("", "*", "*.", "a.*.b", "-x.com", "x..com", "x.com.", "b\u00fccher.de", "two words", "x" * 64 + ".com"),
    *("http://x.com", "https://x.com/", "x.com/path", "x.com:", "x.com:0", "x.com:65536", "x.com:http", "x.com:\u0663"),
    *("127.1", "0x7f.1", "10.1.2.3/16", "10.0.0.0/33", "[::1", "[::1]80", "a:b:c", "user@x.com:443"),
]


@pytest.mark.parametrize("entry", REFUSED, ids=repr)
def test_what_is_no_host_is_refused_by_its_text(entry: str) -> None:
    with pytest.raises(ValueError, match="write") as refused:
        read_destinations(("fine.example.com", entry))
    assert repr(entry) in str(refused.value)


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9.:/*\[\]-]{1,20}", fullmatch=True))
def test_any_text_is_read_or_refused_by_its_text(entry: str) -> None:
    refused, found = "", None
    try:
        found = Destination.of(entry)
    except ValueError as error:
        refused = str(error)
    assert repr(entry) in refused if found is None else bool(found.name) is (found.network is None)
    assert found is None or all(0 < port < 1 << 16 for port in found.ports)


def test_a_function_has_a_list_only_with_its_network() -> None:
    spec = FunctionSpec(name="f", model="m", network=Network.EGRESS, egress=("api.example.com",))
    assert spec.egress == ("api.example.com",)
    with pytest.raises(ValidationError, match='`egress` lists what is reached with network="egress"'):
        FunctionSpec(name="f", model="m", egress=("api.example.com",))
    with pytest.raises(ValidationError, match=r"egress\n.*'http://x' has no port"):
        FunctionSpec(name="f", model="m", network=Network.EGRESS, egress=("http://x",))
