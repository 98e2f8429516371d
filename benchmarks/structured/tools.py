"""Hand-made schemas of the sizes that tools and extractions have: small, up to 2 kB, and some of 20 kB. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from benchmarks.structured.cases import Case, listed, one_of, record, text, whole

SMALL, MIDDLE, LARGE = "tools, small", "tools, up to 2 kB", "tools, 20 kB"
SMALL_BYTES = 500
FRESH_BYTES = 2048

_DATE = {"type": "string", "format": "date"}
_TIME = {"type": "string", "format": "date-time"}
_FLAG = {"type": "boolean"}
_MONEY = {"type": "number", "multipleOf": 0.25, "minimum": 0, "maximum": 999}
_ADDRESS = record({"street": text(), "city": text(), "postcode": {"type": "string", "pattern": "^[0-9]{5}$"}})
_PERSON = record({"name": text(), "age": whole(0, 120), "email": text(20, format="email")})

HAND_MADE: Mapping[str, Any] = {
    "get_weather": record({"city": text(), "unit": one_of("celsius", "fahrenheit")}),
    "get_time": record({"zone": one_of("UTC", "Europe/Paris", "Asia/Tokyo", "America/New_York")}),
    "search": record({"query": text(20), "limit": whole(1, 50)}, required=["query"]),
    "calculate": record({"left": whole(), "operator": one_of("+", "-", "*", "/"), "right": whole()}),
    "send_email": record(
        {"to": listed(text(20, format="email"), 2, minItems=1), "subject": text(20), "body": text(40)}
    ),
    "create_event": record(
        {
            "title": text(20, description="what the calendar shows"),
            "start": {**_TIME, "description": "when it begins, with its offset from UTC"},
            "minutes": whole(15, 480, multipleOf=15),
            "guests": listed(_PERSON, 2),
            "repeat": one_of("never", "daily", "weekly", "monthly"),
        }
    ),
    "book_flight": record(
        {
            "origin": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "IATA code of the airport"},
            "destination": {"type": "string", "pattern": "^[A-Z]{3}$", "description": "IATA code of the airport"},
            "departure": _DATE,
            "return": {"anyOf": [_DATE, {"type": "null"}]},
            "cabin": one_of("economy", "premium", "business", "first"),
            "passengers": listed(record({"name": text(), "born": _DATE}), 2, minItems=1),
        }
    ),
    "extract_person": _PERSON,
    "classify": record({"label": one_of("bug", "feature", "question"), "confidence": whole(0, 100)}),
    "sentiment": record({"sentiment": one_of("good", "bad", "neither"), "reason": text(40)}),
    "yes_or_no": {"type": "boolean"},
    "tags": listed(text(10), 4, minItems=1),
    "place_order": record(
        {
            "customer": _PERSON,
            "address": _ADDRESS,
            "lines": listed(record({"sku": text(8), "count": whole(1, 9), "price": _MONEY}), 3, minItems=1),
            "paid": _FLAG,
            "note": {"anyOf": [text(20), {"type": "null"}]},
        }
    ),
    "make_invoice": record(
        {
            "number": {"type": "string", "pattern": "^INV-[0-9]{4}$"},
            "issued": _DATE,
            "seller": record({"name": text(), "address": _ADDRESS}),
            "buyer": record({"name": text(), "address": _ADDRESS}),
            "total": _MONEY,
            "currency": one_of("EUR", "USD", "GBP", "JPY"),
        }
    ),
    "run_query": record(
        {
            "table": one_of("users", "orders", "events"),
            "columns": listed(one_of("id", "name", "created_at", "total"), 3, minItems=1),
            "where": listed(record({"column": text(8), "operator": one_of("=", "<", ">"), "value": whole()}), 2),
            "limit": whole(1, 100),
        }
    ),
    "draw": {
        "oneOf": [
            record({"shape": {"const": "circle"}, "radius": whole(1, 50)}),
            record({"shape": {"const": "square"}, "side": whole(1, 50)}),
            record({"shape": {"const": "text"}, "content": text(20)}),
        ]
    },
    "file_edit": record(
        {"path": {"type": "string", "pattern": "^[a-z]{1,8}\\.(py|md)$"}, "line": whole(1, 999), "to": text(30)}
    ),
    "tree": {
        "$defs": {"node": record({"name": text(6), "children": listed({"$ref": "#/$defs/node"}, 2)})},
        "$ref": "#/$defs/node",
    },
    "server_config": record(
        {
            "host": {"type": "string", "format": "ipv4"},
            "port": whole(1024, 65535),
            "tls": record({"on": _FLAG, "certificate": {"anyOf": [text(16), {"type": "null"}]}}),
            "log": one_of("debug", "info", "warning", "error"),
            "workers": whole(1, 64),
            "retries": record({"count": whole(0, 9), "seconds": whole(1, 60)}),
        }
    ),
    "recipe": record(
        {
            "title": text(20),
            "servings": whole(1, 12),
            "ingredients": listed(record({"name": text(10), "grams": whole(1, 999)}), 3, minItems=2),
            "steps": listed(text(30), 3, minItems=1),
        }
    ),
    "support_ticket": record(
        {
            "id": {"type": "string", "format": "uuid"},
            "opened": _TIME,
            "priority": one_of("low", "normal", "high", "urgent"),
            "reporter": _PERSON,
            "summary": text(30),
            "related": listed(whole(1, 999), 3),
        }
    ),
}


def hand_made() -> list[Case]:
    """Return all hand-made schemas."""
    return [*(_case(name, schema) for name, schema in HAND_MADE.items()), *map(_large, range(3))]


def fresh(number: int) -> dict[str, Any]:
    """Return a schema of FRESH_BYTES or a little more, another one for each number: no grammar of it can be at hand."""
    made = record({f"first_{number}": whole()})
    index = 0
    while len(json.dumps(made)) < FRESH_BYTES:
        name = f"property_{index}_{number}"
        made["properties"][name] = text(8, description=f"field {index} of schema {number}, a short text")
        made["required"].append(name)
        index += 1
    return made


def endless(schema: Any) -> dict[str, Any]:
    """Return the schema of a list too long to end: its answers have exactly the tokens that are asked for."""
    return {"type": "array", "items": schema, "minItems": 200, "maxItems": 400}


def _case(name: str, schema: Any) -> Case:
    group = SMALL if len(json.dumps(schema)) <= SMALL_BYTES else MIDDLE
    return Case(group, schema, f"Call the tool {name}.")


def _large(number: int) -> Case:
    """Return one of the large ones: a choice of many codes, many kinds of actions, several lists of long values."""
    if number == 0:
        codes = [f"{a}{b}{c}" for a in "ABCDEFGHIJKLMNOPQRS" for b in "ABCDEFGHIJKLM" for c in "ABCDEFGHIJKL"]
        return Case(LARGE, record({"code": one_of(*codes)}), "Choose a code.")
    if number == 1:
        actions = [record({"action": {"const": f"do_{n}"}, "times": whole(1, 9), "why": text(9)}) for n in range(90)]
        return Case(LARGE, {"oneOf": actions}, "Choose an action.")
    choices = {
        f"setting_{n}": one_of(*(f"value {v} of setting {n}" for v in range(150)), description="word " * 20)
        for n in range(5)
    }
    return Case(LARGE, record(choices), "Choose the settings.")
