"""What the engines' options have in common."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from quickthaw.errors import InvalidRequest


def reject_unknown(options: Mapping[str, Any], known: Iterable[str], engine: str) -> None:
    """Raise InvalidRequest for an option that the engine does not have, listing those it has."""
    names = sorted(known)
    for name in options:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise InvalidRequest(
                f"engine {engine} has no option {name!r}; {hint}known: {', '.join(names)}", param=f"options.{name}"
            )
