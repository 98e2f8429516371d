"""Which addresses a caller may have the platform talk to. Pure.

An address of this machine, of a private network, of the link or of a group is refused, also where an IPv6 address
carries it (mapped, 6to4, Teredo, NAT64), unless whoever runs the platform allows its network.
https://www.iana.org/assignments/iana-ipv4-special-registry and iana-ipv6-special-registry are what `ipaddress` knows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

from quickthaw_platform.setting_values.networks import Network

Address = IPv4Address | IPv6Address

_HOST = re.compile(r"(?=.{1,253}$)([^.%\s]{1,63}\.)*[^.%\s]{1,63}\.?")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/96"))
_NOT_PUBLIC: tuple[Network, ...] = (
    IPv4Network("168.63.129.16"),  # what Azure's hosts tell their virtual machines
    IPv4Network("192.0.0.0/24"),  # for protocols; the metadata of a cloud among them (192.0.0.192)
    IPv4Network("192.88.99.0/24"),  # what were relays of 6to4
    IPv6Network("::/96"),  # an IPv4 address, as it was written once
    IPv6Network("::ffff:0:0:0/96"),  # an IPv4 address for translators (SIIT)
    IPv6Network("64:ff9b:1::/48"),  # networks' own translators, in whatever form
    IPv6Network("3fff::/20"),  # for examples
    IPv6Network("5f00::/16"),  # within networks (SRv6)
    IPv6Network("fec0::/10"),  # of a site
)
"""What `ipaddress` calls public, at least in older releases of our Pythons, and is not, or is no more."""


class AddressRefused(Exception):
    """A URL leads to an address that callers may not reach."""


def is_allowed(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether callers may reach an address: each address that it stands for is public, or in a network of `allowed`."""
    return all(_is_public(meant) or _is_in(meant, allowed) for meant in _meant(address))


def host_of(url: str) -> str:
    """Return the host of a URL as requests to it read it; ValueError where no request can be sent there."""
    try:
        parsed = httpx.URL(url)
        host, port = parsed.host, parsed.port
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from error
    if not _HOST.fullmatch(parsed.raw_host.decode("ascii")):
        raise ValueError(f"{host[:100]!r} is no host")
    if port is not None and not 0 < port < 1 << 16:
        raise ValueError(f"{port} is no port")
    return host


def check_host(host: str, allowed: Sequence[Network]) -> None:
    """Raise AddressRefused where a URL's host is an address that callers may not reach; names are not looked up."""
    try:
        address = ip_address(host)
    except ValueError:
        return
    require_allowed(host, [address], allowed)


def require_allowed(
    host: str, addresses: Sequence[Address], allowed: Sequence[Network], *, setting: str = "webhook_allow"
) -> None:
    """Raise AddressRefused where callers may not reach an address of a host: its owner chooses which comes first.

    `setting` is the one that names the networks `allowed`.
    """
    refused = [address for address in addresses if not is_allowed(address, allowed)]
    if refused:
        raise AddressRefused(
            f"{host} is {refused[0]}, which is not public; whoever runs the platform can allow its network in the "
            f"setting {setting}"
        )


def _meant(address: Address) -> Iterator[Address]:
    """Yield the address, and those that routers or translators may take it for."""
    yield address
    if isinstance(address, IPv4Address):
        return
    for inner in (address.ipv4_mapped, address.sixtofour, *(address.teredo or ())):
        if inner is not None:
            yield inner
    if any(address in network for network in _NAT64):
        yield IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    carries = isinstance(address, IPv6Address) and address.ipv4_mapped is not None  # judged by what it carries
    return carries or (address.is_global and not address.is_multicast and not _is_in(address, _NOT_PUBLIC))


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)
