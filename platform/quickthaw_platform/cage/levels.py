"""How far an instance is shut off from everything else on its node, and what a node can give. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from quickthaw.types import FunctionSpec, Isolation, Network

ORDER = (Isolation.NONE, Isolation.PROCESS, Isolation.STRICT)
"""The levels, weakest first."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The level that a node gives its instances, and why it gives no stronger one (empty: there is none)."""

    level: Isolation
    why: str = ""


def at_least(level: Isolation, demanded: Isolation) -> bool:
    """Whether `level` is as strong as what is demanded."""
    return ORDER.index(level) >= ORDER.index(demanded)


KEEPS = {Network.NONE: Isolation.PROCESS, Network.EGRESS: Isolation.STRICT, Network.HOST: Isolation.NONE}
"""The weakest level at which a network is kept."""


def demanded(spec: FunctionSpec, setting: Isolation | None = None, network: Network = Network.HOST) -> Isolation:
    """Return the weakest level that will do for a function on a node with these settings."""
    asked = [spec.isolation or Isolation.NONE, setting or Isolation.NONE, KEEPS[spec.network or network]]
    return max(asked, key=ORDER.index)


def levels_below(wanted: Isolation | None) -> tuple[Isolation, ...]:
    """Return the levels that a node tries, strongest first: all of them, or those up to the wanted one."""
    return tuple(level for level in reversed(ORDER) if wanted is None or at_least(wanted, level))
