"""When requests come: a process to draw from, or a trace to play again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

from quickthaw.types import Seconds

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Kind = Literal[
    "constant", "poisson", "gamma", "bursts", "diurnal", "azure", "mooncake", "burstgpt", "csv", "servegen"
]  # fmt: skip

PROCESSES = ("constant", "poisson", "gamma", "bursts", "diurnal")
TRACES = ("azure", "mooncake", "burstgpt", "csv")
"""Kinds of files in which each row is a request with its tokens. `servegen` is a file too, but of rates."""

_ONLY_OF = {
    "cv": ("gamma",), "of": ("gamma",),
    "on": ("bursts",), "off": ("bursts",), "period": ("diurnal",), "depth": ("diurnal",),
    "offset": (*TRACES, "servegen"),
}  # fmt: skip


class Arrivals(BaseModel):
    """When requests come, in requests per second and seconds.

    A trace keeps its shape at any rate, for its time is stretched or compressed: `rate` says what its mean rate is
    to become, `speed` how many of its seconds pass in one. Both together: at `speed` times `rate`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind = "poisson"
    rate: Positive | None = Field(None, description="mean, in requests per second; None: the trace's own")
    speed: Positive = Field(
        1.0, description="seconds of the trace in one second", validation_alias=AliasChoices("speed", "rate_scale")
    )
    cv: Positive = Field(8.0, description="coefficient of variation of the gaps, for gamma")
    of: Literal["cluster", "function"] = Field("cluster", description="what the gamma process is of")
    on: Annotated[Seconds, Field(gt=0)] = Field(10.0, description="mean length of a burst")
    off: Annotated[Seconds, Field(gt=0)] = Field(30.0, description="mean length of the silence between two bursts")
    period: Annotated[Seconds, Field(gt=0)] = Field(86_400.0, description="of the diurnal wave")
    depth: float = Field(0.8, ge=0, le=1, description="of the diurnal wave: 0 is flat, 1 goes down to nothing")
    path: Path | None = Field(None, description="of the trace; a relative one counts from the scenario's directory")
    offset: Seconds | None = Field(
        None,
        description="where in the trace to begin, in its own seconds",
        validation_alias=AliasChoices("offset", "window"),
    )

    @model_validator(mode="after")
    def _complete(self) -> Arrivals:
        traced = self.kind not in PROCESSES
        if traced and self.path is None:
            raise ValueError(f"kind {self.kind!r} needs the `path` of the trace")
        if not traced and self.path is not None:
            raise ValueError(f"kind {self.kind!r} reads no trace; leave `path` out")
        if not traced and self.rate is None:
            raise ValueError(f"kind {self.kind!r} needs a `rate` in calls per second")
        for name, kinds in _ONLY_OF.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"`{name}` means nothing to kind {self.kind!r}; it belongs to {', '.join(kinds)}")
        return self

    @property
    def tells_tokens(self) -> bool:
        """Whether each request comes with its numbers of tokens."""
        return self.kind in TRACES
