"""Which parameters an endpoint's query may have: others are refused by name, as unknown fields of bodies are."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, get_type_hints

from flask import current_app, request

from quickthaw_platform.errors import InvalidRequest


def check() -> None:
    """Refuse the current request where its query names what its endpoint does not have."""
    if request.args:
        refuse_others(request.args, names_of(current_app.view_functions[request.endpoint or ""]))


def refuse_others(sent: Iterable[str], known: frozenset[str]) -> None:
    """Raise InvalidRequest for the first of the names that is not known."""
    strange = next((name for name in sent if name not in known), None)
    if strange is None:
        return
    near = difflib.get_close_matches(strange[:100], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(sorted(known)) or 'none'}"
    raise InvalidRequest(f"there is no parameter {strange[:100]!r} of the query here; {hint}", param=strange[:100])


@cache
def names_of(view: Callable[..., Any]) -> frozenset[str]:
    """Return what the query of an endpoint may hold, by the model that its view takes as `query`."""
    model = get_type_hints(inspect.unwrap(view)).get("query")
    if model is None:
        return frozenset()
    return frozenset(field.alias or name for name, field in model.model_fields.items())
