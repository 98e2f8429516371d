"""Intervals, differences and tests on what was measured. Pure numpy and scipy; every chance is seeded."""
