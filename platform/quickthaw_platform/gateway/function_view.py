"""A function as it is shown: its record, with what runs and waits of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quickthaw.types import FunctionInfo, Version
from quickthaw_platform.contracts import ClusterView
from quickthaw_platform.gateway.services import Services
from quickthaw_platform.registry.record import FunctionRecord
from quickthaw_platform.router.view import read_view


def describe(services: Services, name: str) -> FunctionInfo:
    """Describe one function; FunctionNotFound, RecordUnreadable where this release reads no version of it."""
    record = services.registry.get(name)
    versions = services.registry.versions(name) or [services.registry.version(services.registry.version_ids(name)[-1])]
    return _info(record, versions, _tasks(services), read_view(services.redis))


def describe_all(services: Services) -> list[FunctionInfo]:
    """Describe every function of which this release reads a version, by name."""
    view, tasks = read_view(services.redis), _tasks(services)
    found = ((record, services.registry.versions(record.name)) for record in services.registry.list())
    return [_info(record, versions, tasks, view) for record, versions in found if versions]


def _tasks(services: Services) -> dict[str, str]:
    return {checkpoint.id: checkpoint.task for checkpoint in services.catalogue.list()}


def _info(
    record: FunctionRecord, versions: Sequence[Version], tasks: Mapping[str, str], view: ClusterView
) -> FunctionInfo:
    current = _current(record, versions)
    instances = [instance for instance in view.instances if instance.function == record.name]
    return FunctionInfo(
        name=record.name,
        model=current.spec.model,
        adapter=current.spec.adapter,
        network=current.spec.network,
        egress=current.spec.egress,
        engine=current.engine,
        task=tasks.get(current.checkpoint, "generate"),
        versions=len(versions),
        aliases={alias: dict(weights) for alias, weights in record.aliases.items()},
        instances=len(instances),
        running=sum(instance.in_use for instance in instances),
        waiting=sum(view.waiting.get(version.id, 0) for version in versions),
        created_at=record.created_at,
    )


def _current(record: FunctionRecord, versions: Sequence[Version]) -> Version:
    """Return the version that stands for the function: the weightiest of live, else the newest."""
    weights = record.aliases.get("live", {})
    return max(versions, key=lambda version: (weights.get(version.id, 0.0), version.number))
