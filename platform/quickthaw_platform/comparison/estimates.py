"""A figure of the report with its interval."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from quickthaw_platform.comparison.recording import Model

Measure = Literal["ttft", "tpot", "itl", "e2e"]
"""First token, mean gap of a request, single gap, and end to end."""
Which = Literal["all", "cold", "warm"]
"""All requests, those that waited for the start of an instance, and those that did not."""


class Estimate(Model):
    """A figure with its interval, or the statement that there are too few values for it.

    `needed` is set exactly where `count` values cannot carry the figure's interval: then it says how many would, and
    `value`, `low` and `high` are None. `low` and `high` alone are None where no interval can be given (one block, no
    resampling). Nothing at all (`count=0`) has neither a value nor `needed`.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = Field(0, ge=0, description="values that it rests on")
    needed: int | None = Field(None, description="too few: so many would carry it")
