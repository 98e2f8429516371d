"""How much of the platform one function may ask for, whoever deploys it. Pure."""

from __future__ import annotations

import math

from quickthaw.resources import Quotas
from quickthaw.types import FunctionSpec
from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.settings import Settings


def check_ceilings(spec: FunctionSpec, settings: Settings, quotas: Quotas) -> None:
    """Raise InvalidRequest, with the field's name, where a function asks for less or more than its deployer may.

    What the API key's `quotas` name stands in place of the settings.
    """
    if spec.memory is not None:
        _at_least("memory", spec.memory, settings.min_memory, "min_memory")
        _at_most("memory", spec.memory, math.inf, None, quotas.memory)
    _at_most("weight", spec.weight, settings.max_weight, "max_weight", quotas.weight)
    _at_most("keep_alive", spec.keep_alive, settings.max_keep_alive, "max_keep_alive", quotas.keep_alive)
    for field in ("max_instances", "min_instances", "replicas"):
        wanted: int | None = getattr(spec, field)
        _at_most(field, wanted or 0, settings.max_instances, "max_instances", quotas.max_instances)


def _at_least(field: str, wanted: float, least: float, setting: str) -> None:
    if wanted < least:
        raise InvalidRequest(
            f"{field} {wanted:,} is less than the {least:,} that an instance needs (setting {setting})", param=field
        )


def _at_most(field: str, wanted: float, most: float, setting: str | None, own: float | None) -> None:
    """`own`: the API key's ceiling, in place of the setting's."""
    if own is not None:
        most, setting = own, None
    if wanted > most:
        whose = "the API key that deploys it" if setting is None else f"the setting {setting}"
        raise InvalidRequest(f"{field} {wanted:,} is more than {most:,}, the most by {whose}", param=field)
