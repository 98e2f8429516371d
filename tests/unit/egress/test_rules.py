"""Which hosts and addresses an instance may reach through its node's proxy."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from quickthaw.egress import read_destinations
from quickthaw_platform.egress.rules import Refused, Result, Rules
from quickthaw_platform.egress.targets import Target
from quickthaw_platform.setting_values.networks import read_networks

ALL_PUBLIC = Rules((), ())


def rules(*listed: str, allowed: str = "") -> Rules:
    return Rules(read_destinations(listed), read_networks(allowed))


def refusal(found: Rules, target: Target) -> tuple[Result, int, str]:
    with pytest.raises(Refused) as refused:
        found.check(target)
    return refused.value.result, refused.value.status, str(refused.value)


def test_an_empty_list_reaches_the_usual_ports_of_all_hosts() -> None:
    ALL_PUBLIC.check(Target("example.com", 443))
    ALL_PUBLIC.check(Target(ip_address("203.0.113.7"), 80))
    result, status, text = refusal(ALL_PUBLIC, Target("example.com", 22))
    assert (result, status) == (Result.NOT_LISTED, 403)
    assert "list it in `egress` of the function as example.com:22" in text


def test_a_list_reaches_what_it_names_and_a_refusal_says_how_to_allow_the_rest() -> None:
    found = rules("api.example.com", "10.1.0.0/16:8080")
    found.check(Target("api.example.com", 443))
    found.check(Target(ip_address("10.1.2.3"), 8080))
    assert refusal(found, Target("example.org", 443)) == (
        Result.NOT_LISTED, 403,
        "example.org:443 is not in `egress` of the function: list it there as example.org",
    )  # fmt: skip
    assert refusal(found, Target(ip_address("2001:db8::1"), 81))[2].endswith("as [2001:db8::1]:81")


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "::1", "64:ff9b::a00:1", "2002:a00:1::"]
)
def test_an_address_that_is_not_public_is_refused_whoever_listed_it(address: str) -> None:
    found = rules("internal.example.com", f"[{address}]" if ":" in address else address)
    with pytest.raises(Refused, match=r"not public; .* setting egress_allow") as refused:
        found.check_addresses(Target("internal.example.com", 443), [ip_address("8.8.8.8"), ip_address(address)])
    assert (refused.value.result, refused.value.status) == (Result.NOT_PUBLIC, 403)


def test_the_node_itself_is_refused_by_its_public_address_too() -> None:
    own = ip_address("8.8.8.8")
    with pytest.raises(Refused, match=r"8\.8\.8\.8, the node itself; .* setting egress_allow"):
        rules("internal.example.com").check_addresses(Target("internal.example.com", 443), [own], [own])
    rules("internal.example.com", allowed="8.8.8.8").check_addresses(Target("internal.example.com", 443), [own], [own])


def test_whoever_runs_the_node_may_allow_a_network_that_is_not_public() -> None:
    found = rules("internal.example.com", allowed="10.1.0.0/16")
    found.check_addresses(Target("internal.example.com", 443), [ip_address("10.1.2.3")])
    with pytest.raises(Refused):
        found.check_addresses(Target("internal.example.com", 443), [ip_address("10.2.0.1")])


@pytest.mark.parametrize(
    ("result", "status"),
    [(Result.MALFORMED, 400), (Result.NOT_FOUND, 502), (Result.UNREACHABLE, 502)],
    ids=["malformed", "not found", "unreachable"],
)
def test_what_fails_for_another_reason_is_no_403(result: Result, status: int) -> None:
    assert Refused(result, "").status == status
