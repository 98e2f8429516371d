"""The optimisers that are installed, by name."""

from __future__ import annotations

from quickthaw_platform import plugins
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.optimisation.contract import Optimiser


def optimiser_class(name: str) -> type[Optimiser]:
    """Import the optimiser `name`. Raises NotFound, naming the known ones, and InvalidRequest where it needs more."""
    found: type[Optimiser] = plugins.optimiser(name)
    missing = found.missing()
    if missing is not None:
        raise InvalidRequest(f"optimiser {name!r} cannot run here: {missing}", param="optimiser")
    return found
