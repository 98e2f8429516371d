"""Whether what an alias is to point to clears the bars that the caller demands of its checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from quickthaw.types import FunctionSpec, Version
from quickthaw_platform.gateway.services import Services
from quickthaw_platform.registry.bars import Bar, Served, check_bars
from quickthaw_platform.registry.engines import default_engine


def check_spec(services: Services, required: Sequence[str], spec: FunctionSpec) -> None:
    """Raise Conflict unless the model of a function that is to be deployed clears every bar."""
    bars = [Bar.parse(written) for written in required]
    if not bars:
        return
    checkpoint = services.catalogue.find(spec.model)
    adapter = None if spec.adapter is None else services.catalogue.find_adapter(spec.adapter).id
    engine = spec.engine or default_engine(checkpoint.weights_format)
    _check(services, bars, Served(checkpoint.name, checkpoint.id, engine, adapter, spec.options))


def check_versions(services: Services, required: Sequence[str], function: str, wanted: Iterable[str]) -> None:
    """Raise Conflict unless every one of a function's versions (by id or number) clears every bar."""
    bars = [Bar.parse(written) for written in required]
    if not bars:
        return
    named = set(wanted)
    for version in services.registry.versions(function):
        if named & {version.id, str(version.number)}:
            _check(services, bars, served_by(version))


def served_by(version: Version) -> Served:
    """Return what the calls of a version reach."""
    spec = version.spec
    return Served(spec.model, version.checkpoint, version.engine, version.adapter_checkpoint, spec.options)


def _check(services: Services, bars: Sequence[Bar], served: Served) -> None:
    check_bars(bars, served, services.results.of_id(served.checkpoint))
