"""Networks in a setting are read, or refused."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from quickthaw_platform.setting_values.networks import read_networks


def test_an_address_is_a_network_of_its_own() -> None:
    assert read_networks("10.1.0.0/16, 127.0.0.1") == (ip_network("10.1.0.0/16"), ip_network("127.0.0.1/32"))


@pytest.mark.parametrize("value", ["10.0.0.0/33", "here", "10.0.0.1/8", 7])
def test_what_is_no_network_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_networks(value)
