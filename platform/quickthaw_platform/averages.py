"""Moving averages of positive quantities that one absurd measurement does not spoil. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

WEIGHT = 0.2
"""Of the newest measurement, once there are more than a few: about the last ten count."""

CLIP_DEVIATIONS = 3.0
"""A measurement further off than so many mean deviations counts as if it were just so far off."""

MIN_DEVIATION = 0.1
"""In natural logarithms, c. 10 %: so that an average which was quiet for long still follows a change."""


@dataclass(frozen=True, slots=True)
class Average:
    """The mean of the logarithms, so that twice as much and half as much weigh alike, as speeds and times do.

    Measurements beyond CLIP_DEVIATIONS are pulled in (Huber, 1964): an outlier moves it little, a lasting change does
    within a few measurements.
    """

    log_mean: float
    deviation: float = MIN_DEVIATION  # mean absolute deviation of the logarithms
    count: int = 1

    @classmethod
    def of(cls, value: float) -> Average:
        """Begin with a first measurement. ValueError unless it is finite and positive."""
        return cls(_log(value))

    @property
    def value(self) -> float:
        """The average, in the unit of what was measured."""
        return math.exp(self.log_mean)

    def with_sample(self, value: float) -> Average:
        """Take a measurement in. ValueError unless it is finite and positive."""
        off = _log(value) - self.log_mean
        if self.count >= 2:
            reach = CLIP_DEVIATIONS * max(self.deviation, MIN_DEVIATION)
            off = min(max(off, -reach), reach)
        weight = max(WEIGHT, 1 / (self.count + 1))
        deviation = self.deviation + weight * (abs(off) - self.deviation)
        return Average(self.log_mean + weight * off, deviation, self.count + 1)

    def to_text(self) -> str:
        """Return the stored form."""
        return f"{self.log_mean:.9g} {self.deviation:.9g} {self.count}"

    @classmethod
    def parse(cls, text: str) -> Average:
        """Read the stored form. ValueError for anything else, and for what is not finite."""
        log_mean, deviation, count = text.split()
        parsed = cls(float(log_mean), float(deviation), int(count))
        if not (math.isfinite(parsed.log_mean) and math.isfinite(parsed.deviation) and abs(parsed.log_mean) < 100):
            raise ValueError(f"{text!r} is not an average")
        return parsed


def _log(value: float) -> float:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{value!r} is not a positive number")
    return math.log(value)
