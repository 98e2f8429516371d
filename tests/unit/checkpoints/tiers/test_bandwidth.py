from __future__ import annotations

import math

import pytest

from quickthaw_platform.checkpoints.tiers.bandwidth import ASSUMED_BYTES_PER_SECOND, MIN_BYTES, Bandwidths

SIZE = 1 << 30


def test_before_anything_was_measured_a_speed_is_assumed() -> None:
    bandwidths = Bandwidths()
    assert bandwidths.measured() == {}
    assert bandwidths.seconds("disk", SIZE) == SIZE / ASSUMED_BYTES_PER_SECOND["disk"]


def test_a_probe_counts_until_the_first_load() -> None:
    bandwidths = Bandwidths()
    bandwidths.probed("disk", 5e8)
    bandwidths.probed("dram", 8e9)
    assert bandwidths.measured() == {"disk": 5e8, "dram": 8e9}
    bandwidths.note("disk", SIZE, SIZE / 2e9)
    assert bandwidths.measured() == pytest.approx({"disk": 2e9, "dram": 8e9})
    bandwidths.probed("disk", 5e8)
    assert bandwidths.measured()["disk"] == pytest.approx(2e9)


def test_one_load_that_was_off_moves_the_speed_little() -> None:
    bandwidths = Bandwidths()
    for _ in range(10):
        bandwidths.note("disk", SIZE, SIZE / 1e9)
    bandwidths.note("disk", SIZE, SIZE / 1e6)
    assert bandwidths.measured()["disk"] > 0.9e9


def test_a_lasting_change_is_followed() -> None:
    bandwidths = Bandwidths()
    for speed in [1e9] * 10 + [2e8] * 20:
        bandwidths.note("disk", SIZE, SIZE / speed)
    assert bandwidths.measured()["disk"] == pytest.approx(2e8, rel=0.1)


ABSURD = [0.0, -1.0, math.nan, math.inf, -math.inf, 1e18, 10.0]


@pytest.mark.parametrize("speed", ABSURD)
def test_an_absurd_probe_is_ignored(speed: float) -> None:
    bandwidths = Bandwidths()
    bandwidths.probed("disk", speed)
    assert bandwidths.measured() == {}


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan, math.inf, SIZE / 1e18, SIZE / 10.0])
def test_an_absurd_measurement_is_ignored(seconds: float) -> None:
    bandwidths = Bandwidths()
    bandwidths.note("disk", SIZE, seconds)
    assert bandwidths.measured() == {}


def test_a_load_too_small_to_tell_is_ignored() -> None:
    bandwidths = Bandwidths()
    bandwidths.note("disk", MIN_BYTES - 1, 1.0)
    assert bandwidths.measured() == {}
