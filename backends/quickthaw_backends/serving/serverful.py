"""Serverful: dedicated replicas that are always on."""

from __future__ import annotations

from typing import ClassVar

from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_backends.serving.on_platform import OnPlatform

DEFAULT_REPLICAS = 1


class Serverful(OnPlatform):
    """Has `replicas` instances; with a larger `max_instances` their number follows the concurrency's average."""

    name: ClassVar[str] = "serverful"
    starts_on_demand: ClassVar[bool] = False
    keeps_idle: ClassVar[bool] = False

    @classmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Keep `replicas` instances, and at least as many at most."""
        replicas = always_on(spec)
        most = max(replicas, spec.max_instances)
        return spec.model_copy(update={"replicas": replicas, "min_instances": replicas, "max_instances": most})


def always_on(spec: FunctionSpec) -> int:
    """Return the number of replicas; InvalidRequest where `min_instances` asks for another."""
    replicas = DEFAULT_REPLICAS if spec.replicas is None else spec.replicas
    if spec.min_instances not in (0, replicas):
        raise InvalidRequest(
            f"min_instances: a function on the backend {spec.backend!r} has `replicas` that are always on "
            f"({replicas}), not {spec.min_instances} min_instances",
            param="min_instances",
        )
    return replicas
