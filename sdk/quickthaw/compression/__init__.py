"""Shorter prompts by deletion alone: what may go, what must stay, and a check of the result. Pure, quick to import.

It lies in the SDK because functions, the gateway and the command all use it.
"""

from __future__ import annotations

from quickthaw.compression.compressing import compress
from quickthaw.compression.counting import about_tokens
from quickthaw.compression.information import InformationScorer, TokenScores
from quickthaw.compression.result import Compressed, Reason
from quickthaw.compression.scoring import FrequencyScorer, Scorer

__all__ = [
    "Compressed",
    "FrequencyScorer",
    "InformationScorer",
    "Reason",
    "Scorer",
    "TokenScores",
    "about_tokens",
    "compress",
]
