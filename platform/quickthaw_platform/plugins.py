"""Every extension point of quickthaw, on one screen. Built-ins come in by the same door (see `setup.cfg`).

| group                          | what it is                                  | contract                        |
|--------------------------------|---------------------------------------------|---------------------------------|
| quickthaw.engines              | code that generates tokens                  | contracts.Engine                |
| quickthaw.serving_backends     | how a function is kept served               | serving.ServingBackend          |
| quickthaw.allocation_policies  | where an instance starts                    | contracts.AllocationPolicy      |
| quickthaw.keep_alive_policies  | how long an idle instance is kept           | contracts.KeepAlivePolicy       |
| quickthaw.optimisers           | how prompts are searched for                | optimisation.contract.Optimiser |
| quickthaw.commands             | further commands of the `quickthaw` command | click.Command                   |
| quickthaw.runtime              | what runs `function.local(...)`             | Callable[..., quickthaw.Model]  |
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from quickthaw_platform.contracts import AllocationPolicy, Engine, KeepAlivePolicy
from quickthaw_platform.errors import BackendNotFound, EngineNotFound, NotFound, PluginBroken
from quickthaw_platform.serving import ServingBackend

ENGINES = "quickthaw.engines"
SERVING_BACKENDS = "quickthaw.serving_backends"
ALLOCATION_POLICIES = "quickthaw.allocation_policies"
KEEP_ALIVE_POLICIES = "quickthaw.keep_alive_policies"
OPTIMISERS = "quickthaw.optimisers"


def names(group: str) -> list[str]:
    """Return the names of the installed plugins of a group, without importing any."""
    return sorted({point.name for point in entry_points(group=group)})


def engine_class(name: str) -> type[Engine]:
    """Import the engine `name`; EngineNotFound lists the known ones, PluginBroken has the import's error."""
    found: type[Engine] = _load(ENGINES, name, EngineNotFound)
    return found


def usable_engine(name: str) -> type[Engine]:
    """Import the engine `name` like `engine_class`; EngineNotFound also where what it needs is not installed here."""
    found = engine_class(name)
    missing = found.missing()
    if missing is not None:
        raise EngineNotFound(f"engine {name!r} cannot run here: {missing}", param="engine")
    return found


@cache
def serving_backend(name: str) -> type[ServingBackend]:
    """Import the serving backend `name`, once; BackendNotFound lists the known ones, PluginBroken has the cause."""
    found: type[ServingBackend] = _load(SERVING_BACKENDS, name, BackendNotFound)
    return found


def allocation_policy(name: str) -> AllocationPolicy:
    """Make the allocation policy `name`."""
    policy: AllocationPolicy = _load(ALLOCATION_POLICIES, name, NotFound)()
    return policy


def keep_alive_policy(name: str) -> KeepAlivePolicy:
    """Make the keep-alive policy `name`."""
    policy: KeepAlivePolicy = _load(KEEP_ALIVE_POLICIES, name, NotFound)()
    return policy


def optimiser(name: str) -> Any:
    """Import the optimiser `name`; NotFound lists the known ones."""
    return _load(OPTIMISERS, name, NotFound)


def _load(group: str, name: str, missing: type[NotFound]) -> Any:
    points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        raise missing.named(name, points, f"Plugins register under the entry point group {group!r}.")
    try:
        return points[name].load()
    except Exception as error:
        raise PluginBroken(f"plugin {name!r} of {group} ({points[name].value}) does not load: {error}") from error
