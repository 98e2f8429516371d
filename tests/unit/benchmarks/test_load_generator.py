from __future__ import annotations

import pytest

from benchmarks.load_generator.generators import GuideLlm, Measured, Ours
from benchmarks.load_generator.report import report


def measured(first: float, late: float, gap: float) -> Measured:
    return Measured((first + late,) * 3, (first,) * 3, (gap,) * 3)


def test_medians_of_both_are_compared_by_each_clock() -> None:
    ours, theirs = [measured(0.1, 0.0, 0.02)] * 2, [measured(0.1, 0.01, 0.0210)]
    made = report({Ours.name: ours, GuideLlm.name: theirs}, {"rounds": 2})
    assert [row["requests"] for row in made.rows] == [6, 3]
    assert [row["sent late, median (ms)"] for row in made.rows] == pytest.approx([0.0, 10.0])
    level, apart = made.goals  # that guidellm sent late is no difference of what the two saw
    assert level.value == pytest.approx(0.0)
    assert level.held
    assert apart.value == pytest.approx(100 * 0.001 / 0.021)
    assert not apart.held
