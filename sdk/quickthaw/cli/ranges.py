"""Numbers that options take."""

from __future__ import annotations

import math
from typing import Any

import click

SEED = click.IntRange(min=0)


class FiniteRange(click.FloatRange):
    """A range of numbers, of which `nan` and `inf` are none: click's own lets `nan` through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number
