"""Templates of prompts: text with slots in braces, as `str.format` reads them. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from string import Formatter

from quickthaw_platform.errors import InvalidRequest

INSTRUCTION = "instruction"
EXAMPLES = "examples"
EXPECTED = "expected"


def slots(template: str, name: str) -> set[str]:
    """Return the names of a template's slots. InvalidRequest, naming the field `name`, for braces that are none."""
    try:
        found = list(Formatter().parse(template))
    except ValueError as error:
        raise InvalidRequest(f"{name}: {error}; a brace that is no slot is written twice", param=name) from error
    for _, slot, spec, conversion in found:
        if slot is not None and (not slot.isidentifier() or spec or conversion):
            raise InvalidRequest(
                f"{name}: {{{slot}}} is no slot; slots are plain names, and a brace that is no slot is written twice",
                param=name,
            )
    return {slot for _, slot, _, _ in found if slot is not None}


def parts(template: str) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    """Yield (text, slot behind it, format, conversion) of a template that is fit."""
    return iter(Formatter().parse(template))


def check(template: str, name: str, needed: Iterable[str], allowed: Iterable[str]) -> None:
    """Raise InvalidRequest where a template lacks a needed slot, or has one that nothing fills."""
    found, known = slots(template, name), {*needed, *allowed}
    for slot in sorted(set(needed) - found):
        raise InvalidRequest(f"{name} has no slot {{{slot}}}; write it where its text is to stand", param=name)
    for slot in sorted(found - known):
        raise InvalidRequest(
            f"{name}: nothing fills the slot {{{slot}}}; known: {', '.join(sorted(known))}", param=name
        )


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill every slot."""
    return template.format_map(values)


def escaped(text: str) -> str:
    """Return text that `str.format` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def as_text(value: object) -> str:
    """Return a value as a prompt shows it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
