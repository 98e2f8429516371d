"""Serverless: instances come with calls and go when these cease."""

from __future__ import annotations

from typing import ClassVar

from quickthaw.errors import InvalidRequest
from quickthaw.types import FunctionSpec
from quickthaw_backends.serving.on_platform import OnPlatform


class Serverless(OnPlatform):
    """Scales from zero, or from `min_instances`, to `max_instances`; idle instances stay for `keep_alive`."""

    name: ClassVar[str] = "serverless"
    starts_on_demand: ClassVar[bool] = True
    keeps_idle: ClassVar[bool] = True

    @classmethod
    def settle(cls, spec: FunctionSpec) -> FunctionSpec:
        """Return the spec as it is; it has no replicas, and room for the instances that it keeps."""
        if spec.replicas is not None:
            raise InvalidRequest(
                "replicas: a serverless function has none; give min_instances, or the backend serverful or hybrid",
                param="replicas",
            )
        if spec.min_instances > spec.max_instances:
            raise InvalidRequest(
                f"min_instances: {spec.min_instances} are to stay, and max_instances allows {spec.max_instances}; "
                "give at least as many max_instances",
                param="min_instances",
            )
        return spec
