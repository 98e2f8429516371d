"""Hybrid: an always-on base, and serverless instances for what goes beyond it."""

from __future__ import annotations

from typing import ClassVar

from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_backends.serving.on_platform import OnPlatform
from quickthaw_backends.serving.serverful import always_on


class Hybrid(OnPlatform):
    """Has `replicas` dedicated instances, and up to `max_instances` in all, the others as a serverless function has."""

    name: ClassVar[str] = "hybrid"
    starts_on_demand: ClassVar[bool] = True
    keeps_idle: ClassVar[bool] = True

    @classmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Keep `replicas` instances and leave room for more."""
        replicas = always_on(spec)
        if spec.max_instances <= replicas:
            raise InvalidRequest(
                f"max_instances: a hybrid function needs more than its {replicas} replicas, or there is nothing to "
                "overflow into; give max_instances, or the backend serverful",
                param="max_instances",
            )
        return spec.model_copy(update={"replicas": replicas, "min_instances": replicas})
