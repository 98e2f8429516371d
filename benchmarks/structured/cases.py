"""What is asked of an engine: a schema, the group in the tables that it belongs to, and a few words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schema = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One schema. `group`: the keyword that it is about, or the size of a hand-made one."""

    group: str
    schema: Schema
    question: str = "Give one example of such data."


def record(properties: Mapping[str, Any], *, required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    """Return the schema of an object that has these properties, all of them unless told, and no others."""
    names = list(properties) if required is None else required
    return {
        "type": "object",
        "properties": dict(properties),
        "required": names,
        "additionalProperties": False,
        **more,
    }


def text(most: int = 12, **more: Any) -> dict[str, Any]:
    """Return the schema of a short text: where a text is free, so small a model writes until it is cut."""
    return {"type": "string", "maxLength": most, **more}


def whole(least: int = 0, most: int = 100, **more: Any) -> dict[str, Any]:
    """Return the schema of a bounded whole number."""
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def listed(items: Any, most: int = 3, **more: Any) -> dict[str, Any]:
    """Return the schema of a short list."""
    return {"type": "array", "items": items, "maxItems": most, **more}


def one_of(*values: Any, **more: Any) -> dict[str, Any]:
    """Return the schema of one of several values."""
    return {"enum": list(values), **more}
