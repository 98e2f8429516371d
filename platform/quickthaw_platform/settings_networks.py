"""Networks in a setting. Pure."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network


def read_networks(value: object) -> tuple[Network, ...]:
    """Return the networks of a setting: `10.0.0.0/8,fd00::/8`, or a sequence of them. Raises ValueError."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple):
        raise ValueError("must be networks with commas between them, for example 10.1.0.0/16,127.0.0.1")
    return tuple(ip_network(str(part).strip()) for part in parts if str(part).strip())
