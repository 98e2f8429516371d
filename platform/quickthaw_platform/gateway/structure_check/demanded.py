"""Which structures a call asks for, cleaned, and the refusal of one that cannot be followed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quickthaw_platform.errors import InvalidRequest
from quickthaw_platform.gateway.structure_check.checker import StructureChecker
from quickthaw_platform.gateway.structure_check.cleaning import cleaned
from quickthaw_platform.gateway.structure_check.places import NATIVE, Places
from quickthaw_platform.gateway.turns import give_way, in_turns


def checked(checker: StructureChecker, request: Mapping[str, Any], places: Places) -> dict[str, Any]:
    """Return what the instance gets, without what says nothing in its schemas. `request` is what the caller asked for.

    Raises InvalidRequest, naming the place, where a structure or the parameters of a tool cannot be followed.
    """
    found = dict(request)
    structure = request["sampling"].get("structure")
    if structure:
        found["sampling"] = {**request["sampling"], "structure": _structure(checker, structure, places)}
    tools = request.get("chat", {}).get("tools")
    if tools:
        described = [_tool(checker, tool, places.tool.format(index)) for index, tool in enumerate(in_turns(tools))]
        found["chat"] = {**request["chat"], "tools": described}
    return found


def _structure(checker: StructureChecker, structure: Mapping[str, Any], places: Places) -> dict[str, Any]:
    return {
        kind: _followed(checker, kind, value, f"{places.structure}.{kind}" if places is NATIVE else places.structure)
        for kind, value in structure.items()
        if value is not None
    }


def _tool(checker: StructureChecker, tool: dict[str, Any], place: str) -> dict[str, Any]:
    function = tool.get("function")
    if not isinstance(function, dict) or function.get("parameters") is None:
        return tool
    parameters = _followed(checker, "json_schema", function["parameters"], place)
    return {**tool, "function": {**function, "parameters": parameters}}


def _followed(checker: StructureChecker, kind: str, value: Any, place: str) -> Any:
    clean = _cleaned(value) if kind == "json_schema" else value
    give_way()
    refusal = checker.check(kind, clean)
    give_way()
    if refusal is not None:
        param = f"{place}.{refusal.path}" if refusal.path else place
        raise InvalidRequest(f"{param}: {refusal.message}", param=param)
    return clean


def _cleaned(schema: Any) -> Any:
    try:
        return cleaned(schema)
    except RecursionError:
        return schema  # it nests too deeply, as the checker will say
