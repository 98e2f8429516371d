"""How much hypothesis makes up: little in each run, twenty times as much with FULL=1, as for a night.

Without FULL=1 a failure is printed as it was found, within seconds; with it hypothesis first looks for the smallest.
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

FULL = bool(os.environ.get("FULL"))
FEW = 50
_FOUND = (Phase.explicit, Phase.reuse, Phase.generate, Phase.target)


def examples(few: int = FEW) -> int:
    """Return how many examples a test tries that tries so `few` in each run."""
    return few * 20 if FULL else few


def use_profile() -> None:
    """Give every test these settings; in CI the same examples each time."""
    phases = tuple(Phase) if FULL else _FOUND
    ours = settings(max_examples=examples(), phases=phases, deadline=None, derandomize=bool(os.environ.get("CI")))
    settings.register_profile("quickthaw", ours)
    settings.load_profile("quickthaw")
