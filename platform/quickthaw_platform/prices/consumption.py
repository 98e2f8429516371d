"""What a measured or simulated period used, in the terms in which clouds write bills."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from quickthaw_platform.errors import InvalidRequest

FORMAT = 1
_SLACK = 1e-6

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class InstanceSpan:
    """The life of one instance, in seconds; what is left of `life` beside the four phases counts as idle.

    `busy` is the time in which it served at least one request, however many at once.
    """

    life: float
    starting: float = 0.0
    busy: float = 0.0
    idle: float = 0.0
    draining: float = 0.0

    def __post_init__(self) -> None:
        phases = (self.starting, self.busy, self.idle, self.draining)
        if min(self.life, *phases) < 0:
            raise InvalidRequest(f"a phase of an instance is shorter than nothing: {self}")
        if sum(phases) > self.life * (1 + _SLACK) + _SLACK:
            raise InvalidRequest(f"the phases of an instance are longer than its life: {self}")


@dataclass(frozen=True)
class Consumption:
    """The use of one function in one period.

    `request_seconds` has for each request how long it held a slot of an instance. `instances` are those that came and
    went; `always_on` is the mean number of instances beside them that stood during the whole period, which must not
    be repeated in `instances`. `vcpus`, `memory_gib` and `gpus` are of one instance; `gpu` is None where it was
    measured on a CPU. `tokens_in` includes `tokens_cached`.
    """

    period_seconds: float
    request_seconds: Sequence[float] | NDArray[np.float64] = ()
    instances: Sequence[InstanceSpan] = field(default=())
    always_on: float = 0.0
    vcpus: float = 1.0
    memory_gib: float = 1.0
    gpu: str | None = None
    gpus: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0

    def __post_init__(self) -> None:
        if not self.period_seconds > 0:
            raise InvalidRequest(f"a period of {self.period_seconds} s cannot be billed; it must be longer than 0 s")
        counts = {name: getattr(self, name) for name in ("always_on", "vcpus", "memory_gib", "gpus", *_TOKENS)}
        wrong = [name for name, value in counts.items() if value < 0]
        if wrong:
            raise InvalidRequest(f"{', '.join(wrong)} of a consumption cannot be negative", param=wrong[0])
        durations = self.durations
        if durations.size and not (np.isfinite(durations).all() and durations.min() >= 0):
            raise InvalidRequest("request_seconds must be finite and not negative", param="request_seconds")

    @property
    def durations(self) -> NDArray[np.float64]:
        """`request_seconds` as an array."""
        return np.asarray(self.request_seconds, dtype=np.float64)

    @property
    def requests(self) -> int:
        """How many requests there were."""
        return len(self.request_seconds)


_TOKENS = ("tokens_in", "tokens_out", "tokens_cached")


class _Span(BaseModel):
    model_config = ConfigDict(extra="forbid")

    life: Amount
    starting: Amount = 0.0
    busy: Amount = 0.0
    idle: Amount = 0.0
    draining: Amount = 0.0


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    format: Literal[1]
    about: str = ""
    period_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    request_seconds: list[Amount] = []
    instances: list[_Span] = []
    always_on: Amount = 0.0
    vcpus: Amount
    memory_gib: Amount
    gpu: str | None = None
    gpus: int = Field(0, ge=0)
    tokens_in: int = Field(0, ge=0)
    tokens_out: int = Field(0, ge=0)
    tokens_cached: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _tokens(self) -> _File:
        if self.tokens_cached > self.tokens_in:
            raise ValueError("tokens_cached are a part of tokens_in and cannot be more")
        return self


def write_consumption(use: Consumption, file: Path, about: str = "") -> None:
    """Write a consumption as JSON; `about` says for people where it was measured."""
    names = ("life", "starting", "busy", "idle", "draining")
    content = {
        "format": FORMAT,
        "about": about,
        "period_seconds": use.period_seconds,
        "request_seconds": use.durations.tolist(),
        "instances": [{name: getattr(span, name) for name in names} for span in use.instances],
        **{name: getattr(use, name) for name in ("always_on", "vcpus", "memory_gib", "gpu", "gpus", *_TOKENS)},
    }
    file.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_consumption(file: Path) -> tuple[Consumption, str]:
    """Read what `write_consumption` wrote: the consumption, and what it is about.

    InvalidRequest names the file and the field that is wrong.
    """
    try:
        found = _File.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{file} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{file}: {place or 'the whole'}: {first['msg']}", param=place or None) from error
    fields = found.model_dump(exclude={"format", "about", "instances"})
    spans = tuple(InstanceSpan(**span.model_dump()) for span in found.instances)
    return Consumption(**fields, instances=spans), found.about
