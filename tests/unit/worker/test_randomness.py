"""Random numbers after a fork."""

from __future__ import annotations

import random

import numpy
import torch

from quickthaw_platform.worker import randomness


def test_generators_in_one_state_go_on_with_different_numbers() -> None:
    drawn = []
    for _ in range(2):
        random.seed(1)
        numpy.random.seed(1)
        torch.manual_seed(1)
        randomness.seed_anew()
        drawn.append((random.random(), float(numpy.random.rand()), float(torch.rand(1))))
    for one, other in zip(*drawn, strict=True):
        assert one != other
