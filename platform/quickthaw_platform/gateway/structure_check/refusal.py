"""Why a structure is refused, and where in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """What is wrong. `path` leads to it from the structure's own root, with dots between the steps; empty: the root."""

    message: str
    path: str = ""
