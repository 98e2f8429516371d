"""What validation has measured of a checkpoint, as the platform keeps it and sends it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from quickthaw.types import Wire

Label = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")]
"""A name in a bar such as `perplexity[hf,wikitext-2]<=20`: no blanks, commas or brackets."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Measured(Wire):
    """A figure, with the interval that holds it in 95 of 100 repetitions where one was computed."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _inside(self) -> Measured:
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has both `low` and `high`")
        if self.low is not None and self.high is not None and not self.low <= self.value <= self.high:
            raise ValueError(f"{self.value} is outside its interval, {self.low} to {self.high}")
        return self


class CheckpointResult(Wire):
    """One validation of a checkpoint: by which protocol, on which text, in which engine, and what came of it."""

    checkpoint: str = Field(description="id of the checkpoint that was measured")
    protocol: Label = Field(description="how: hf, gptq, lm-eval, llamacpp, or continuation")
    text: Label = Field(description="name of the text, such as wikitext-2")
    text_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="of the text's bytes")
    whole: bool = Field(description="whether all of the text was used; a part of it passes no bar")
    engine: str = Field(min_length=1, max_length=128)
    adapter: str | None = Field(None, description="id of the adapter that was on the model")
    options: dict[str, Any] = Field(default_factory=dict, description="the engine's options")
    metrics: dict[Label, Measured] = Field(
        min_length=1, max_length=64, description="such as perplexity, bits_per_byte, bleu, rouge-1"
    )
    counts: dict[Label, int] = Field(
        default_factory=dict, max_length=64, description="what was counted: tokens, words, bytes, paragraphs"
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, max_length=64, description="the protocol's settings: stride, seed, signature"
    )
    measured_at: float | None = Field(None, description="Unix seconds; None: the moment the platform takes it")

    @property
    def title(self) -> str:
        """The name of the measurement in a bar: protocol and text."""
        return f"{self.protocol},{self.text}"
