"""Every extension point of quickthaw, on one screen. Built-ins come in by the same door (see `setup.cfg`).

| group                          | what it is                                  | contract                        |
|--------------------------------|---------------------------------------------|---------------------------------|
| quickthaw.engines              | code that generates tokens                  | contracts.Engine                |
| quickthaw.allocation_policies  | where an instance starts                    | contracts.AllocationPolicy      |
| quickthaw.keep_alive_policies  | how long an idle instance is kept           | contracts.KeepAlivePolicy       |
| quickthaw.commands             | further commands of the `quickthaw` command | click.Command                   |
| quickthaw.runtime              | what runs `function.local(...)`             | Callable[..., quickthaw.Model]  |
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from quickthaw_platform.contracts import AllocationPolicy, Engine, KeepAlivePolicy
from quickthaw_platform.errors import EngineNotFound, NotFound, PluginBroken

ENGINES = "quickthaw.engines"
ALLOCATION_POLICIES = "quickthaw.allocation_policies"
KEEP_ALIVE_POLICIES = "quickthaw.keep_alive_policies"


def names(group: str) -> list[str]:
    """Return the names of the installed plugins of a group, without importing any."""
    return sorted({point.name for point in entry_points(group=group)})


def engine_class(name: str) -> type[Engine]:
    """Import the engine `name`; EngineNotFound lists the known ones, PluginBroken has the import's error."""
    found: type[Engine] = _load(ENGINES, name, EngineNotFound)
    return found


def allocation_policy(name: str) -> AllocationPolicy:
    """Make the allocation policy `name`."""
    policy: AllocationPolicy = _load(ALLOCATION_POLICIES, name, NotFound)()
    return policy


def keep_alive_policy(name: str) -> KeepAlivePolicy:
    """Make the keep-alive policy `name`."""
    policy: KeepAlivePolicy = _load(KEEP_ALIVE_POLICIES, name, NotFound)()
    return policy


def _load(group: str, name: str, missing: type[NotFound]) -> Any:
    points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        raise missing.named(name, points, f"Plugins register under the entry point group {group!r}.")
    try:
        return points[name].load()
    except Exception as error:
        raise PluginBroken(f"plugin {name!r} of {group} ({points[name].value}) does not load: {error}") from error
