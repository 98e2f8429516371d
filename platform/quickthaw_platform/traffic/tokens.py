"""How many tokens a request has: a number, a distribution, or what the trace says."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from quickthaw_platform.traffic.arrivals import Positive
from quickthaw_platform.traffic.columns import Ints


class Lognormal(BaseModel):
    """Numbers of tokens: lognormal with this mean, `sigma` being the deviation of the logarithm."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: Positive
    sigma: Annotated[float, Field(ge=0, le=5)] = 1.0
    most: int = Field(32_768, ge=1)


Tokens = Annotated[int, Field(ge=1)] | Literal["trace"] | Lognormal


def draw(wanted: Tokens, rng: np.random.Generator, traced: Ints | None, count: int) -> Ints:
    """Return `count` numbers of tokens, none below 1; `traced` is what the trace says of them, where it does."""
    if isinstance(wanted, int):
        return np.full(count, wanted, np.int64)
    if isinstance(wanted, Lognormal):
        drawn = rng.lognormal(math.log(wanted.mean) - wanted.sigma**2 / 2, wanted.sigma, count)
        return np.clip(np.rint(drawn), 1, wanted.most).astype(np.int64)
    return np.ones(count, np.int64) if traced is None else np.maximum(traced, 1)
