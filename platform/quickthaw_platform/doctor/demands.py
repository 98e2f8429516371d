"""Whether nodes isolate as far as deployed functions demand: with `network="egress"`, say, they need `strict`. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quickthaw.types import Isolation, Version
from quickthaw_platform.cage.levels import at_least, demanded
from quickthaw_platform.doctor.facts import Demand, Facts

_SHOWN = 5
"""Functions that a finding names."""


def demands_of(versions: Iterable[Version]) -> tuple[Demand, ...]:
    """Return what versions demand of the nodes that run them, by name; those that run anywhere are left out."""
    found = {_demand(version) for version in versions}
    return tuple(sorted((one for one in found if one.level is not Isolation.NONE), key=lambda d: (d.function, d.level)))


def shortfalls(facts: Facts) -> Iterator[tuple[str, str]]:
    """Give what a node isolates less far than functions demand, and what to do about it, for each such node.

    Where no node runs, this machine is looked at as one.
    """
    grants = facts.grants or {"this machine": facts.machine.grant}
    for node, grant in grants.items():
        unmet = [one for one in facts.demands if not at_least(grant.level, one.level)]
        if unmet:
            named = [f"{one.function} ({one.reason})" for one in unmet[:_SHOWN]]
            more = f" and {len(unmet) - _SHOWN} more" if len(unmet) > _SHOWN else ""
            why = grant.why or f"QUICKTHAW_ISOLATION={grant.level.value} is set for it; start its worker without that"
            able = [name for name, other in grants.items() if all(at_least(other.level, one.level) for one in unmet)]
            where = f"they run on {', '.join(able)} only" if able else "no node can run all of them, and calls wait"
            yield f"{node} gives {grant.level.value}, too little for {', '.join(named)}{more}", f"{where}: {why}"


def _demand(version: Version) -> Demand:
    spec, level = version.spec, demanded(version.spec)
    if spec.isolation is level or spec.network is None:
        return Demand(version.function, level, f'isolation="{level.value}"')
    return Demand(version.function, level, f'network="{spec.network.value}"')
