"""Which hosts and addresses an instance may reach through the proxy of its node. Pure."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from quickthaw.egress import DEFAULT_PORTS, Destination
from quickthaw_platform.egress.targets import Target
from quickthaw_platform.outbound.addresses import Address, AddressRefused, require_allowed
from quickthaw_platform.setting_values.networks import Network

SETTING = "egress_allow"


class Result(enum.StrEnum):
    """What became of a request to the proxy."""

    PASSED = "passed"  # its target was reached
    MALFORMED = "malformed"  # it is no request to a proxy
    NOT_LISTED = "not_listed"  # its target is not in the function's list, or on no port of it
    NOT_PUBLIC = "not_public"  # its target has an address that functions may not reach
    NOT_FOUND = "not_found"  # its target has no address
    UNREACHABLE = "unreachable"  # nobody answers there


_STATUS = {Result.MALFORMED: 400, Result.NOT_LISTED: 403, Result.NOT_PUBLIC: 403}
_STATUS_OF_OTHERS = 502


class Refused(Exception):
    """A request that the proxy does not pass on; its text, one sentence, is for whoever wrote the function."""

    def __init__(self, result: Result, text: str) -> None:
        super().__init__(text)
        self.result = result

    @property
    def status(self) -> int:
        """The status of the answer."""
        return _STATUS.get(self.result, _STATUS_OF_OTHERS)


@dataclass(frozen=True, slots=True)
class Rules:
    """What one function may reach."""

    listed: tuple[Destination, ...]  # nothing listed: all that is public, on the usual ports
    allowed: tuple[Network, ...]  # that are not public, and that whoever runs the node lets functions reach

    def check(self, target: Target) -> None:
        """Raise Refused where the target is not listed: it is then not even looked up, for a name can carry secrets."""
        if not self.listed and target.port not in DEFAULT_PORTS:
            raise Refused(
                Result.NOT_LISTED,
                f"{target} is on another port than 80 and 443: list it in `egress` of the function as {target}",
            )
        if self.listed and not any(entry.takes(target.host, target.port) for entry in self.listed):
            raise Refused(
                Result.NOT_LISTED, f"{target} is not in `egress` of the function: list it there as {target.entry}"
            )

    def check_addresses(self, target: Target, addresses: Sequence[Address], own: Sequence[Address] = ()) -> None:
        """Raise Refused where the target, as it was looked up, has an address that functions may not reach.

        `own` are those of the node itself, which it would reach from within, past what guards them from outside.
        """
        try:
            require_allowed(str(target.host), addresses, self.allowed, setting=SETTING)
        except AddressRefused as error:
            raise Refused(Result.NOT_PUBLIC, str(error)) from error
        for address in own:
            if not any(address in network for network in self.allowed):
                why = f"{address}, the node itself; whoever runs it can allow that in the setting {SETTING}"
                raise Refused(Result.NOT_PUBLIC, f"{target.host} is {why}")
