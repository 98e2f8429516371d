"""What a measurement of perplexity found, and all that must be known to compare it with another."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from quickthaw_platform.registry.precision import written

ProtocolName = Literal["hf", "gptq", "lm-eval", "llamacpp"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Record):
    """A 95% interval of a value, by a bootstrap over blocks of neighbouring windows (or of whole pages)."""

    low: float
    high: float


class Measure(_Record):
    """A value with its interval; no interval where there were too few blocks to draw from."""

    value: float
    interval: Interval | None = None


class Sums(_Record):
    """What was added up over all windows. Every value of a result can be computed again from these.

    `words` and `bytes` are those of the text itself; None where the protocol does not score all of the text.
    """

    nll: float = Field(description="negative log-likelihood of the scored tokens, in nats")
    tokens: int = Field(description="tokens that were scored")
    words: int | None = None
    bytes: int | None = None


class ScoredText(_Record):
    """The text that was scored."""

    name: str
    digest: str = Field(
        description="sha256 of the text as it was read, in UTF-8; of several documents with NUL between"
    )
    bytes: int
    documents: int
    form: str = Field(description="how documents were made of it: text, jsonl, directory or wikitext")


class Subject(_Record):
    """What was validated."""

    function: str | None = Field(None, description="name or name:alias; None: a checkpoint, or another server")
    version: str | None = None
    checkpoint: str | None = Field(None, description="name; None: another server, which does not tell")
    digest: str | None = Field(None, description="id of the checkpoint")
    adapter: str | None = Field(None, description="name of the LoRA adapter that is on it")
    engine: str | None = None
    dtype: str | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the engine's options, of precision among others")
    endpoint: str | None = Field(None, description="URL of another server")
    model: str = Field(description="the name that was asked for")

    @property
    def precision(self) -> str:
        """What must be said of how it was computed, with a comma before it; nothing where the engine chose."""
        return "".join(f", {option}" for option in written(self.options))


class ValidationResult(_Record):
    """One protocol on one text by one model. Results of different protocols, windows or texts do not compare."""

    protocol: ProtocolName
    subject: Subject
    text: ScoredText
    tokenizer: str = Field(description="where token ids came from")
    bos: str = Field(description="where the token that begins a text was put, in words")
    window: int = Field(description="most tokens that the model sees at once")
    stride: int | None = Field(None, description="tokens from one window's beginning to the next one's; None: disjoint")
    limit: int | None = Field(None, description="most windows (lm-eval: documents) that were scored; None: all")
    windows: int
    sums: Sums
    perplexity: Measure = Field(description="by the protocol's own formula, per token")
    word_perplexity: Measure | None = None
    byte_perplexity: Measure | None = None
    bits_per_byte: Measure | None = None
    seconds: float = Field(description="that requests were under way, earlier runs of a resumed one included")
    tokens_per_second: float = Field(description="tokens that were read, context included, in a second")
    date: str = Field(description="of the end: YYYY-MM-DDTHH:MM:SSZ")

    @property
    def title(self) -> str:
        """What must stand beside the number wherever it is quoted."""
        stride = "" if self.stride is None else f", stride {self.stride}"
        part = "" if self.limit is None else f", first {self.limit} only"
        return f"{self.protocol}, window {self.window}{stride}, {self.text.name}{part}{self.subject.precision}"


def exponential(nats: float) -> float:
    """Return e to the power of `nats`; infinity where that is beyond all floats."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf
