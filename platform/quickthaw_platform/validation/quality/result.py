"""What a measurement of continuation quality found, and all that must be known to compare it with another."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from quickthaw.results import Measured
from quickthaw_platform.validation.result import ScoredText, Subject


class QualityResult(BaseModel):
    """The figures of a model's continuations, and beside them those of continuations that need no model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: Subject
    text: ScoredText
    passages: int = Field(description="how many were continued")
    of_passages: int = Field(description="how many the text has")
    prompt_words: int
    reference_words: int
    seed: int = Field(description="of the choice of passages, of the floors and of the calls")
    figures: dict[str, Measured]
    floors: dict[str, dict[str, Measured]] = Field(description="by floor: copy, random, unigrams")
    signatures: dict[str, str] = Field(description="of BLEU and chrF, as sacrebleu writes them")
    empty: int = Field(description="continuations without a word; they count as what they are")
    short: int = Field(description="continuations of fewer words than their reference")
    seconds: float = Field(description="that calls were under way, earlier runs of a resumed one included")
    date: str = Field(description="of the end: YYYY-MM-DDTHH:MM:SSZ")

    @property
    def whole(self) -> bool:
        """Whether every passage of the text was continued."""
        return self.passages == self.of_passages

    @property
    def settings(self) -> dict[str, Any]:
        """What must be equal for two results to compare."""
        return {
            "prompt_words": self.prompt_words, "reference_words": self.reference_words, "passages": self.passages,
            "seed": self.seed, "decoding": "greedy", "signatures": self.signatures,
        }  # fmt: skip
