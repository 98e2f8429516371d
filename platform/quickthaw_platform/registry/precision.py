"""Which of an engine's options change every figure that is measured of a model: those of how it is multiplied. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_NAMES = ("dtype", "compute", "exact")


def precision_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the options; figures that were measured with others do not compare."""
    return {name: options[name] for name in _NAMES if name in options}


def written(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return them as `--option` takes them: `compute=mixed`, `exact=false`; nothing where the engine chooses."""
    return tuple(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in precision_of(options).items()
    )
