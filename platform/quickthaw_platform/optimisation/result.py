"""What a search came to."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from quickthaw_platform.optimisation.scores import Interval

Ended = Literal["budget", "exhausted"]
"""The budget was used up, or the optimiser had nothing more to ask."""


class Scored(BaseModel):
    """A candidate, and all that was paid for it."""

    key: str
    instruction: str
    shown: tuple[int, ...]  # places in the training set
    dev: float | None  # mean score, where it was scored on the whole development set
    scored: int  # examples of the development set that it was scored on
    failed: int  # calls of these that failed
    calls: int
    tokens: int
    seconds: float


class Judged(BaseModel):
    """A candidate's scores: by the development set, which chose it, and by the test set, which did not."""

    instruction: str
    shown: tuple[int, ...]
    dev: float
    test: Interval


class Result(BaseModel):
    """The result of `quickthaw optimise`."""

    task: str
    function: str
    optimiser: str
    seed: int
    ended: Ended
    start: Judged
    best: Judged
    gain: Interval  # of the test scores, best less start, example by example
    candidates: int
    calls: int
    tokens: int
    seconds: float  # that calls ran, all together
    failed: int  # calls that failed
