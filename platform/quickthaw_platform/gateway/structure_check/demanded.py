"""Which structures a call asks for, and the refusal of one that cannot be followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.structure_check.checker import StructureChecker
from quickthaw_platform.gateway.structure_check.places import NATIVE, Places


def check_structures(checker: StructureChecker, request: Mapping[str, Any], places: Places) -> None:
    """Raise InvalidRequest, naming the place, where a structure or the parameters of a tool cannot be followed.

    `request` is what the instance would get.
    """
    for place, kind, value in _demanded(request, places):
        refusal = checker.check(kind, value)
        if refusal is not None:
            param = f"{place}.{refusal.path}" if refusal.path else place
            raise InvalidRequest(f"{param}: {refusal.message}", param=param)


def _demanded(request: Mapping[str, Any], places: Places) -> Iterator[tuple[str, str, Any]]:
    structure = request["sampling"].get("structure") or {}
    for kind, value in structure.items():
        if value is not None:
            yield f"{places.structure}.{kind}" if places is NATIVE else places.structure, kind, value
    for index, tool in enumerate(request.get("chat", {}).get("tools", ())):
        parameters = tool.get("function", tool).get("parameters")
        if parameters is not None:
            yield places.tool.format(index), "json_schema", parameters
