"""Networks in a setting. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from quickthaw_platform.setting_values.lists import read_list

Network = IPv4Network | IPv6Network


def read_networks(value: object) -> tuple[Network, ...]:
    """Return the networks of a setting: `10.0.0.0/8,fd00::/8`, or a list of them. Raises ValueError."""
    wanted = "networks with commas between them, for example 10.1.0.0/16,127.0.0.1"
    return tuple(ip_network(text) for text in read_list(value, wanted))
