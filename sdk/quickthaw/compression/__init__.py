"""Shorter prompts by deletion alone: what may go, what must stay, and a check of the result. Pure, quick to import."""

from __future__ import annotations

from quickthaw_platform.compression.compressing import compress
from quickthaw_platform.compression.result import Compressed, Reason
from quickthaw_platform.compression.scoring import FrequencyScorer, Scorer

__all__ = ["Compressed", "FrequencyScorer", "Reason", "Scorer", "compress"]
